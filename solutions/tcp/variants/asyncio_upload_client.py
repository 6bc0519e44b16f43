# The whole contract in Python with asyncio: drain waits while the server is slow, write_eof is shutdown.
import asyncio
import os
import re
import struct
import sys

USAGE = "usage: upload-client [--host ADDR] [--port PORT] [--magic 0|1]"
given = {"--host": "127.0.0.1", "--port": "5000", "--magic": "0"}
words = sys.argv[1:]
names = words[::2]
fine = len(words) % 2 == 0 and all(name in given for name in names) and all(words)
given.update(zip(names, words[1::2]))
fine = fine and re.fullmatch("[0-9]{1,9}", given["--port"]) and 1 <= int(given["--port"]) <= 65535
if not fine or given["--magic"] not in "01":
    sys.stderr.write(USAGE + "\n")
    sys.exit(2)


async def upload(host, port, magic):
    reader, writer = await asyncio.open_connection(host, port)
    if magic:
        writer.write(b"UPL1")
    sent = total = 0
    while data := os.read(0, 32768):
        writer.write(data)
        await writer.drain()
        sent += len(data)
        total += sum(data)
    await writer.drain()
    writer.write_eof()
    count, theirs = struct.unpack("!QI", await reader.readexactly(12))
    writer.close()
    os.write(1, f"Sent {sent} bytes, server counted {count}, checksum 0x{theirs:08x}\n".encode())
    if (count, theirs) != (sent, total % 2**32):
        sys.exit("the figures differ")


where = f"{given['--host']}:{given['--port']}"
try:
    asyncio.run(upload(given["--host"], int(given["--port"]), given["--magic"] == "1"))
except asyncio.IncompleteReadError as error:
    sys.exit(f"{where} ended the connection after {len(error.partial)} bytes of receipt")
except OSError as error:
    sys.exit(f"cannot upload to {where}: {error}")
