"""bind-name as a course would write it: any interface, port 5000."""
import socket

s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.bind(("", 5000))
host, port = s.getsockname()
print(f"{host}:{port}")
s.close()
