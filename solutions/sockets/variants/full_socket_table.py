"""socket-table by ctypes, as a C program would do it: a negative result is an error, and errno says which."""
import ctypes
import errno
import os
import sys

libc = ctypes.CDLL(None, use_errno=True)
if len(sys.argv) > 1:
    sys.exit(print("usage: socket-table", file=sys.stderr) or 2)
table = []
for family, number in [("AF_INET", 2), ("AF_INET6", 10), ("AF_UNIX", 1), ("AF_BLUETOOTH", 31)]:
    for kind, kind_number in [("SOCK_STREAM", 1), ("SOCK_DGRAM", 2), ("SOCK_RAW", 3)]:
        protocol = {2: 1, 10: 58, 31: 1}.get(number, 0) if kind_number == 3 else 0
        fd = libc.socket(number, kind_number, protocol)
        table.append((family, kind, fd, "ok" if fd >= 0 else errno.errorcode[ctypes.get_errno()]))
# All of them are open at the same time, and are closed in the end.
for _, _, fd, _ in table:
    if fd >= 0:
        os.close(fd)
text = "".join(f"{family} {kind} {answer}\n" for family, kind, _, answer in table)
try:
    written = os.write(1, text.encode())
except OSError as error:
    sys.exit(f"cannot write: {error.strerror}")
