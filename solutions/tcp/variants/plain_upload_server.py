# Receives to the end of file, then answers with the receipt: no options, one connection.
import socket
import struct

server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
server.bind(("", 5000))
server.listen(1)
connection, client = server.accept()
count = total = 0
while True:
    data = connection.recv(4096)
    if not data:
        break
    count += len(data)
    total += sum(data)
connection.sendall(struct.pack("!QI", count, total % 2**32))
connection.close()
server.close()
