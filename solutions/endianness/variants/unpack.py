"""unpack with the struct module; it reads all that there is."""
import re
import socket
import struct
import sys

if len(sys.argv) != 2 or not re.fullmatch(r"[!<>=]([0-9]*[bBhHiIqQ]|4s)+", sys.argv[1], re.ASCII):
    print("usage: unpack FORMAT", file=sys.stderr)
    sys.exit(2)
try:
    values = struct.unpack(sys.argv[1], sys.stdin.buffer.read())
except struct.error as error:
    sys.exit(str(error))
try:
    for value in values:
        print(socket.inet_ntop(socket.AF_INET, value) if isinstance(value, bytes) else value, flush=True)
except OSError as error:
    sys.exit("cannot write to stdout: %s" % error)
