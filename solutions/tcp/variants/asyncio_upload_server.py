# The whole contract in Python with asyncio: streams, and one connection at a time because accept is called by hand.
import asyncio
import os
import re
import socket
import struct
import sys

USAGE = "usage: upload-server [--host ADDR] [--port PORT] [--count N] [--dual 0|1]"


def refuse():
    sys.stderr.write(USAGE + "\n")
    sys.exit(2)


def options():
    given = {"--host": "0.0.0.0", "--port": "5000", "--count": "1", "--dual": "0"}
    limits = {"--port": (0, 65535), "--count": (1, 2**32 - 1), "--dual": (0, 1)}
    words = sys.argv[1:]
    if len(words) % 2:
        refuse()
    for name, value in zip(words[::2], words[1::2]):
        if name not in given or not value:
            refuse()
        given[name] = value
    for name, (low, high) in limits.items():
        if not re.fullmatch("[0-9]{1,20}", given[name]) or not low <= int(given[name]) <= high:
            refuse()
    return given["--host"], int(given["--port"]), int(given["--count"]), given["--dual"] == "1"


async def receive_upload(reader, writer, start):
    count, total = len(start), sum(start)
    while data := await reader.read(50_000):
        count += len(data)
        total += sum(data)
    writer.write(struct.pack(">QL", count, total & 0xFFFFFFFF))
    await writer.drain()


async def greet(reader, writer, start):
    data = start
    while data:
        writer.write(b"Hi!")
        await writer.drain()
        data = await reader.read(1000)


async def serve(connection, dual):
    reader, writer = await asyncio.open_connection(sock=connection)
    try:
        if not dual:
            await receive_upload(reader, writer, b"")
        else:
            # Takes the first bytes one by one, and hands on what is not the magic.
            start = b""
            while b"UPL1".startswith(start) and start != b"UPL1":
                byte = await reader.read(1)
                start += byte
                if not byte:
                    break
            if start == b"UPL1":
                await receive_upload(reader, writer, b"")
            else:
                await greet(reader, writer, start)
        writer.close()
        await writer.wait_closed()
    except OSError as error:
        writer.transport.abort()
        print("lost a client:", error, file=sys.stderr)


async def main():
    host, port, count, dual = options()
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        sys.exit(f"cannot bind {host}:{port}: {error.strerror}")
    listener.listen()
    if port == 0:
        name, chosen = listener.getsockname()[:2]
        name = f"[{name}]" if ":" in name else name
        os.write(1, f"Listening on {name}:{chosen}\n".encode())
    loop = asyncio.get_running_loop()
    for _ in range(count):
        connection, _ = await loop.sock_accept(listener)
        await serve(connection, dual)


try:
    asyncio.run(main())
except OSError as error:
    sys.exit(f"failed: {error}")
