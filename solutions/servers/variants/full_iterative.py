"""An iterative server that meets the whole contract, by a buffered file on the socket."""
import argparse
import errno
import re
import socket
import sys
import time

TOO_LONG = b"error: too long\n"


def options():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", default="5000")
    given = parser.parse_args()
    if not re.fullmatch("[0-9]+", given.port) or int(given.port) > 65535:
        parser.error("--port: want a number from 0 to 65535")
    return given.host, int(given.port)


def listen(host, port):
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        sys.exit(f"cannot resolve {host} port {port}: {error.strerror}")
    for family, kind, protocol, _, address in found:
        try:
            listener = socket.socket(family, kind, protocol)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(64)
        except OSError as error:
            refusal = f"cannot bind {address[0]}:{port}: {error.strerror}"
            continue
        if port == 0:
            name, number = listener.getsockname()[:2]
            name = f"[{name}]" if family == socket.AF_INET6 else name
            try:
                print(f"Listening on {name}:{number}", flush=True)
            except OSError as error:
                sys.stdout = None
                sys.exit(f"cannot write: {error.strerror}")
        return listener
    sys.exit(refusal)


class Server:
    def __init__(self):
        self.total = 0

    def serve(self, client):
        with client, client.makefile("rb") as lines:
            while True:
                # One byte more than a line and its newline may have.
                line = lines.readline(1026)
                if len(line) == 1026 or (len(line) == 1025 and not line.endswith(b"\n")):
                    client.sendall(TOO_LONG)
                    return
                if not line.endswith(b"\n") or line == b"quit\n":
                    return
                client.sendall(self.answer(line))

    def answer(self, line):
        number = re.fullmatch(rb"add (-?[0-9]{1,19})\n", line)
        if not number or not -(2**63) <= int(number[1]) < 2**63:
            return b"error: not understood\n"
        self.total = (self.total + int(number[1]) + 2**63) % 2**64 - 2**63
        return b"total %d\n" % self.total


def main():
    listener = listen(*options())
    server = Server()
    while True:
        try:
            client, _ = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                time.sleep(0.2)
            continue
        try:
            server.serve(client)
        except OSError as error:
            print(f"a connection broke: {error}", file=sys.stderr)


main()
