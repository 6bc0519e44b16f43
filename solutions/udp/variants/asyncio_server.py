"""udp-server on an event loop: the datagrams come as calls of a protocol object."""
import asyncio
import re
import socket
import struct
import sys


def refuse(problem):
    print(problem, "usage: udp-server [--host ADDR] [--port PORT] [--count N]", sep="\n", file=sys.stderr)
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


def show(address):
    return ("[%s]:%d" if ":" in address[0] else "%s:%d") % address[:2]


class Answerer(asyncio.DatagramProtocol):
    def __init__(self, count, done):
        self.left, self.done = count, done

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        if len(data) != 2 or not self.left:
            return
        value = (struct.unpack("!h", data)[0] + 1 + 0x8000) % 0x10000 - 0x8000
        self.transport.sendto(struct.pack("!h", value), address)
        self.left -= 1
        if not self.left:
            self.transport.close()

    def error_received(self, error):
        print("cannot answer:", error, file=sys.stderr)

    def connection_lost(self, error):
        self.done.set_result(None)


async def serve(host, port, count):
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    try:
        transport, _ = await loop.create_datagram_endpoint(lambda: Answerer(count, done), local_addr=(host, port))
    except OSError as error:
        sys.exit("cannot bind %s:%d: %s" % (host, port, error))
    if port == 0:
        print("Listening on", show(transport.get_extra_info("sockname")), flush=True)
    await done


found = options({"--host": "0.0.0.0", "--port": "5000", "--count": "1"})
port, count = number(found["--port"], 0, 65535), number(found["--count"], 1, 2**32 - 1)
try:
    asyncio.run(serve(found["--host"], port, count))
except OSError as error:
    sys.exit("cannot write to stdout: %s" % error)
