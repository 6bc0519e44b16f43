# The course's TCP server: no options, one connection.
import socket

server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
server.bind(("", 5000))
server.listen(1)
connection, client = server.accept()
while True:
    data = connection.recv(1024)
    if not data:
        break
    connection.sendall(b"Hi!")
connection.close()
server.close()
