"""The listing as it is taught in Python: no argument, one number."""
import math
import socket
import struct

var = 16909060
print("Var has %08x" % var)
for i in range(math.ceil(var.bit_length() / 8)):
    print("Byte %d has %02x" % (i, (var >> (8 * i)) & 0xFF))
print()
for i, byte in enumerate(struct.pack(">I", var)):
    print("Byte %d has %02x" % (i, byte))
print()
for i, byte in enumerate(struct.pack("=I", socket.htonl(var))):
    print("Byte %d has %02x" % (i, byte))
