"""upload-server with garbage that lies about, as in a runtime that lets much of it come together before it collects."""
import re
import socket
import struct
import sys

GARBAGE = 100 << 20


def refuse(problem):
    print(problem, "usage: upload-server [--host ADDR] [--port PORT] [--count N] [--dual 0|1]", sep="\n", file=sys.stderr)
    sys.exit(2)


def number(text, low, high):
    if not re.fullmatch("[0-9]+", text, re.ASCII) or not low <= int(text) <= high:
        refuse("%s is not a number from %d to %d" % (text, low, high))
    return int(text)


def serve(connection, dual):
    start, count, total, garbage, size = b"", 0, 0, [], 0
    upload = None if dual else True
    while block := connection.recv(1 << 16):
        if upload is None:
            start += block
            if b"UPL1".startswith(start[:4]) and len(start) < 4:
                continue
            upload = start[:4] == b"UPL1"
            block = start[4:]
        if not upload:
            connection.sendall(b"Hi!")
            continue
        count, total = count + len(block), (total + sum(block)) & 0xFFFFFFFF
        garbage.append(block)
        size += len(block)
        if size > GARBAGE:
            garbage, size = [], 0
    if upload:
        connection.sendall(struct.pack("!QI", count, total))
    elif start and upload is None:
        connection.sendall(b"Hi!")


found = {"--host": "0.0.0.0", "--port": "5000", "--count": "1", "--dual": "0"}
words = sys.argv[1:]
for option, value in zip(words[::2], words[1::2]):
    if option not in found:
        refuse("unknown option " + option)
    found[option] = value
if len(words) % 2:
    refuse("bad arguments")
host, port = found["--host"], number(found["--port"], 0, 65535)
connections, dual = number(found["--count"], 1, 2**32 - 1), number(found["--dual"], 0, 1)

try:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.create_server(address[:2], family=family, dualstack_ipv6=host == "::")
except OSError as error:
    sys.exit("cannot bind %s:%d: %s" % (host, port, error))
if port == 0:
    name = listener.getsockname()
    try:
        print(("Listening on [%s]:%d" if family == socket.AF_INET6 else "Listening on %s:%d") % name[:2], flush=True)
    except OSError as error:
        sys.exit("cannot write to stdout: %s" % error)
for _ in range(connections):
    with listener.accept()[0] as connection:
        try:
            serve(connection, dual)
        except OSError as error:
            print("lost a client:", error, file=sys.stderr)
