"""A select server by asyncio: epoll below, a coroutine for each client, drain as the brake."""
import argparse
import asyncio
import re
import resource
import socket
import sys

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


def answer(line):
    global total
    number = re.fullmatch(rb"add (-?[0-9]{1,19})", line)
    if not number or not -(2**63) <= int(number[1]) < 2**63:
        return b"error: not understood\n"
    total = (total + int(number[1]) + 2**63) % 2**64 - 2**63
    return b"total %d\n" % total


async def serve(reader, writer):
    data = b""
    try:
        while received := await reader.read(2048):
            data += received
            while b"\n" in data:
                line, data = data.split(b"\n", 1)
                if len(line) > 1024:
                    writer.write(TOO_LONG)
                    return
                if line == b"quit":
                    return
                writer.write(answer(line))
                await writer.drain()
            if len(data) > 1024:
                writer.write(TOO_LONG)
                return
    except OSError as error:
        print(f"a connection broke: {error}", file=sys.stderr)
    finally:
        writer.close()


async def run(listener):
    # asyncio accepts `backlog` times in a row, also after EMFILE: so once, and a backlog of our own.
    server = await asyncio.start_server(serve, sock=listener, backlog=1)
    listener.listen(128)
    await server.serve_forever()


def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    listener = listen(*options())
    listener.setblocking(False)
    asyncio.run(run(listener))


main()
