"""A forking server: the SIGCHLD handler reaps, SIGTERM is passed on to the children, children are kept in a set."""
import argparse
import errno
import os
import re
import signal
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


total = 0
children = set()


def answer(line):
    global total
    number = re.fullmatch(rb"add (-?[0-9]{1,19})\n", line)
    if not number or not -(2**63) <= int(number[1]) < 2**63:
        return b"error: not understood\n"
    total = (total + int(number[1]) + 2**63) % 2**64 - 2**63
    return b"total %d\n" % total


def serve(client):
    with client, client.makefile("rb") as lines:
        while True:
            line = lines.readline(1026)
            if len(line) == 1026 or (len(line) == 1025 and not line.endswith(b"\n")):
                client.sendall(TOO_LONG)
                return
            if not line.endswith(b"\n") or line == b"quit\n":
                return
            client.sendall(answer(line))


def reap(signum, frame):
    while True:
        try:
            child, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if child == 0:
            return
        children.discard(child)


def stop(signum, frame):
    for child in list(children):
        os.kill(child, signal.SIGKILL)
    os._exit(0)


STOPPERS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}


def main():
    listener = listen(*options())
    signal.signal(signal.SIGCHLD, reap)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while True:
        try:
            client, _ = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                time.sleep(0.2)
            continue
        # A signal between fork and the note of the child would miss the child.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPERS)
        try:
            child = os.fork()
        except OSError as error:
            print(f"cannot fork: {error}", file=sys.stderr)
            child = None
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPERS)
            listener.close()
            try:
                serve(client)
            except OSError as error:
                print(f"a connection broke: {error}", file=sys.stderr)
            os._exit(0)
        if child:
            children.add(child)
        client.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPERS)


main()
