"""socket-table as a course would write it."""
import errno
import socket

BTPROTO_HCI = 1
for family in ["AF_INET", "AF_INET6", "AF_UNIX", "AF_BLUETOOTH"]:
    for kind in ["SOCK_STREAM", "SOCK_DGRAM", "SOCK_RAW"]:
        protocol = 0
        if kind == "SOCK_RAW":
            protocol = {"AF_INET": 1, "AF_INET6": 58, "AF_BLUETOOTH": BTPROTO_HCI}.get(family, 0)
        # AF_BLUETOOTH has a name in Python only where the headers were there when it was built.
        number = getattr(socket, family, 31)
        try:
            s = socket.socket(number, getattr(socket, kind), protocol)
            s.close()
            print(family, kind, "ok")
        except OSError as error:
            print(family, kind, errno.errorcode[error.errno])
