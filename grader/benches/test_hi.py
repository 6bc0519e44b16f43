"""The job of `cargo xtask speed` for pytest: ten times start the server, say Hello!, read Hi!, half-close, and see it end."""

import os
import socket
import subprocess
import time

import pytest

SERVER, PORT = os.environ["SERVER"], int(os.environ["PORT"])


@pytest.mark.parametrize("run", range(10))
def test_hi(run):
    server = subprocess.Popen([SERVER, "--host", "127.0.0.1", "--port", str(PORT)])
    deadline = time.monotonic() + 10
    while True:
        try:
            client = socket.create_connection(("127.0.0.1", PORT))
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.005)
    with client:
        client.sendall(b"Hello!")
        assert client.recv(3, socket.MSG_WAITALL) == b"Hi!"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert server.wait(10) == 0
