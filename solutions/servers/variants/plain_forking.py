"""The forking server as a course would write it: no options, SIGCHLD ignored so that there are no zombies."""
import os
import re
import signal
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
    data = b""
    while True:
        received = client.recv(512)
        if not received:
            return
        data += received
        while b"\n" in data:
            line, data = data.split(b"\n", 1)
            if len(line) > 1024:
                client.sendall(b"error: too long\n")
                return
            if line == b"quit":
                return
            client.sendall(answer(line))
        if len(data) > 1024:
            client.sendall(b"error: too long\n")
            return


signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("", 5000))
listener.listen(5)
while True:
    client, peer = listener.accept()
    if os.fork() == 0:
        listener.close()
        serve(client)
        client.close()
        os._exit(0)
    client.close()
