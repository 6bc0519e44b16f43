"""The server as it is taught in Python: no options, no loop, no way out but the right one."""
import socket
import struct

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 5000))
data, address = s.recvfrom(2)
(value,) = struct.unpack("!h", data)
s.sendto(struct.pack("!h", value + 1), address)
s.close()
