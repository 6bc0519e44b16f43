"""bind-name with all addresses of a name, by getaddrinfo."""
import os
import re
import socket
import sys

words = sys.argv[1:]
host = words[0] if words else ""
port = words[1] if len(words) > 1 else "5000"
if len(words) > 2 or host.startswith("-") or not re.fullmatch("[0-9]{1,6}", port) or int(port) > 65535:
    print("usage: bind-name [HOST] [PORT]", file=sys.stderr)
    sys.exit(2)
try:
    found = socket.getaddrinfo(
        host or "0.0.0.0", int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
except OSError as error:
    sys.exit(f"cannot resolve {host} port {port}: {error.strerror}")
reason = None
for family, kind, protocol, _, address in found:
    with socket.socket(family, kind, protocol) as s:
        try:
            s.bind(address)
        except OSError as error:
            reason = f"cannot bind {address[0]} port {port}: {error.strerror}"
            continue
        name, number = s.getsockname()[:2]
    text = f"[{name}]:{number}\n" if family == socket.AF_INET6 else f"{name}:{number}\n"
    try:
        os.write(1, text.encode())
    except OSError as error:
        sys.exit(f"cannot write: {error.strerror}")
    sys.exit(0)
sys.exit(reason)
