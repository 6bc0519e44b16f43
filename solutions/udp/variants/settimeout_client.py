"""udp-client without connect: it looks at the address of each datagram itself."""
import re
import socket
import struct
import sys
import time


def refuse(problem):
    print(problem, "usage: udp-client [--host HOST] [--port PORT] [--value V] [--timeout-ms T] [--tries N]", sep="\n", file=sys.stderr)
    sys.exit(2)


def options(known):
    words = sys.argv[1:]
    found = dict(known)
    while words:
        if words[0] not in known or len(words) < 2:
            refuse("bad arguments")
        found[words[0]], words = words[1], words[2:]
    return found


def number(text, low, high):
    if not re.fullmatch("-?[0-9]+", text, re.ASCII) or not low <= int(text) <= high:
        refuse("%s is not a number from %d to %d" % (text, low, high))
    return int(text)


def ask(family, address, value, timeout, tries):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        for _ in range(tries):
            s.sendto(struct.pack("!h", value), address)
            deadline = time.monotonic() + timeout
            while (left := deadline - time.monotonic()) > 0:
                s.settimeout(left)
                try:
                    data, sender = s.recvfrom(65536)
                except TimeoutError:
                    break
                if sender[:2] == address[:2] and len(data) == 2:
                    return struct.unpack("!h", data)[0]
    raise TimeoutError("no answer")


found = options({"--host": "127.0.0.1", "--port": "5000", "--value": "1", "--timeout-ms": "1000", "--tries": "3"})
host, port = found["--host"], number(found["--port"], 1, 65535)
value = number(found["--value"], -0x8000, 0x7FFF)
timeout, tries = number(found["--timeout-ms"], 1, 2**31) / 1000, number(found["--tries"], 1, 2**31)

try:
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
except OSError as error:
    sys.exit("cannot resolve %s:%d: %s" % (host, port, error))
problems = []
for family, _, _, _, address in addresses:
    try:
        answer = ask(family, address, value, timeout, tries)
        break
    except OSError as error:
        problems.append("cannot ask %s:%d: %s" % (address[0], address[1], error))
else:
    sys.exit("\n".join(problems))
try:
    print("Received", answer, flush=True)
except OSError as error:
    sys.exit("cannot write to stdout: %s" % error)
