# The whole contract in Python: create_server, and a buffered file around each connection.
import os
import re
import socket
import sys

USAGE = "usage: tcp-server [--host ADDR] [--port PORT] [--count N]"


def refuse(problem):
    sys.stderr.write(f"{problem}\n{USAGE}\n")
    sys.exit(2)


def options(known):
    values = {name: kind if isinstance(kind, str) else kind[2] for name, kind in known.items()}
    words = sys.argv[1:]
    while words:
        name = words.pop(0)
        if name not in known or not words:
            refuse(f"unknown or incomplete: {name}")
        value, kind = words.pop(0), known[name]
        if isinstance(kind, str):
            if not value:
                refuse(f"{name} is empty")
            values[name] = value
        else:
            if not re.fullmatch("[0-9]{1,20}", value) or not kind[0] <= int(value) <= kind[1]:
                refuse(f"{name} {value}")
            values[name] = int(value)
    return values


def serve(connection):
    with connection, connection.makefile("rb", buffering=0) as requests:
        while requests.read(700):
            connection.sendall(b"Hi!")


def main():
    given = options({"--host": "0.0.0.0", "--port": (0, 65535, 5000), "--count": (1, 2**32 - 1, 1)})
    host, port = given["--host"], given["--port"]
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family, dualstack_ipv6=host == "::")
    except OSError as error:
        sys.exit(f"cannot bind {host}:{port}: {error.strerror}")
    if port == 0:
        name, chosen = listener.getsockname()[:2]
        name = f"[{name}]" if ":" in name else name
        os.write(1, f"Listening on {name}:{chosen}\n".encode())
    for _ in range(given["--count"]):
        connection, _ = listener.accept()
        try:
            serve(connection)
        except OSError as error:
            print("lost a client:", error, file=sys.stderr)


try:
    main()
except OSError as error:
    sys.exit(f"failed: {error}")
