"""The job of `cargo xtask speed` for check50 --dev: ten checks that start the server, say Hello! and read Hi!."""

import os
import socket
import subprocess
import time

import check50

SERVER, PORT = os.environ["SERVER"], int(os.environ["PORT"])


def hi(offset):
    port = PORT + offset
    server = subprocess.Popen([SERVER, "--host", "127.0.0.1", "--port", str(port)])
    deadline = time.monotonic() + 10
    while True:
        try:
            client = socket.create_connection(("127.0.0.1", port))
            break
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise check50.Failure("the server does not listen")
            time.sleep(0.005)
    with client:
        client.sendall(b"Hello!")
        if client.recv(3, socket.MSG_WAITALL) != b"Hi!":
            raise check50.Failure("no Hi!")
        client.shutdown(socket.SHUT_WR)
        if client.recv(1) != b"":
            raise check50.Failure("no end")
    if server.wait(10) != 0:
        raise check50.Failure("the server failed")


def make(offset):
    def check():
        hi(offset)

    check.__name__ = f"hi{offset}"
    check.__doc__ = f"says Hi! ({offset})"
    return check50.check()(check)


for number in range(10):
    globals()[f"hi{number}"] = make(number)
