"""Clients are waited for in select, but new ones by a thread of their own, in accept: two places to wait."""
import os
import threading
import re
import select
import socket

total = 0


def wrap(number):
    return (number + 2**63) % 2**64 - 2**63


def answer(line):
    global total
    if re.fullmatch(rb"add -?[0-9]{1,19}", line):
        number = int(line[4:])
        if -(2**63) <= number < 2**63:
            total = wrap(total + number)
            return b"total %d\n" % total
    return b"error: what?\n"


def serve(client):
    """Whether the client stays."""
    received = client.recv(512)
    if not received:
        return False
    data = pending[client] + received
    while b"\n" in data:
        line, data = data.split(b"\n", 1)
        if len(line) > 1024:
            client.sendall(b"error: too long\n")
            return False
        if line == b"quit":
            return False
        client.sendall(answer(line))
    if len(data) > 1024:
        client.sendall(b"error: too long\n")
        return False
    pending[client] = data
    return True


def accept(listener, waker):
    while True:
        client, peer = listener.accept()
        pending[client] = b""
        os.write(waker, b"x")


listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("", 5000))
listener.listen(5)
pending = {}
waking, waker = os.pipe()
threading.Thread(target=accept, args=(listener, waker), daemon=True).start()
while True:
    readable, _, _ = select.select([waking, *pending], [], [])
    for ready in readable:
        if ready is waking:
            os.read(waking, 1)
        elif not serve(ready):
            del pending[ready]
            ready.close()
