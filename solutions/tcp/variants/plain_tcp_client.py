# The course's TCP client: no options.
import socket

client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
client.connect(("127.0.0.1", 5000))
client.sendall(b"Hello!")
data = client.recv(1024)
print("Received:", data.decode())
client.close()
