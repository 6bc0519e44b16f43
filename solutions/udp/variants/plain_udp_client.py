"""The client as it is taught in Python: it asks once and waits for as long as it takes."""
import socket
import struct

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(struct.pack("!h", 1), ("127.0.0.1", 5000))
data, address = s.recvfrom(2)
(value,) = struct.unpack("!h", data)
print("Received", value)
s.close()
