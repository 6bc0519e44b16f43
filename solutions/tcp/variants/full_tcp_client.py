# The whole contract in Python: create_connection tries each address, MSG_WAITALL reads the whole answer.
import os
import re
import socket
import sys

USAGE = "usage: tcp-client [--host ADDR] [--port PORT] [--message TEXT]"
given = {"--host": "127.0.0.1", "--port": "5000", "--message": "Hello!"}
words = sys.argv[1:]
if len(words) % 2:
    sys.stderr.write(USAGE + "\n")
    sys.exit(2)
for name, value in zip(words[::2], words[1::2]):
    if name not in given or not value:
        sys.stderr.write(USAGE + "\n")
        sys.exit(2)
    given[name] = value
if not re.fullmatch("[0-9]{1,9}", given["--port"]) or not 1 <= int(given["--port"]) <= 65535:
    sys.stderr.write(USAGE + "\n")
    sys.exit(2)

where = (given["--host"], int(given["--port"]))
try:
    with socket.create_connection(where) as connection:
        message = memoryview(os.fsencode(given["--message"]))
        while message:
            message = message[connection.sendmsg([message[:3], message[3:]]) :]
        answer = connection.recv(3, socket.MSG_WAITALL)
        while 0 < len(answer) < 3:
            rest = connection.recv(3 - len(answer))
            if not rest:
                break
            answer += rest
    if len(answer) < 3:
        sys.exit(f"{where[0]}:{where[1]} ended the connection after {len(answer)} bytes")
    os.write(1, b"Received: " + answer + b"\n")
except OSError as error:
    sys.exit(f"cannot talk to {where[0]} port {where[1]}: {error}")
