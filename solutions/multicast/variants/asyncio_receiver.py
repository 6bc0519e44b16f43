# The whole contract in Python with asyncio: bound to any address, told apart by IP_PKTINFO, signals in the loop.
import argparse
import asyncio
import ipaddress
import os
import signal
import socket
import struct
import sys

IP_PKTINFO = 8
IPV6_RECVPKTINFO = 49
IPV6_PKTINFO = 50


def number(low, high):
    def parse(text):
        value = int(text)
        if not text.lstrip("-").isdigit() or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"want a number from {low} to {high}")
        return value
    return parse


def group(text):
    address = ipaddress.ip_address(text)
    if not address.is_multicast:
        raise argparse.ArgumentTypeError("not a multicast group")
    return address


parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--group", type=group, default="226.1.1.1")
parser.add_argument("--port", type=number(1, 65535), default=5000)
parser.add_argument("--interface")
parser.add_argument("--count", type=number(1, 2**32 - 1), default=1)
options = parser.parse_args()
version = options.group.version


def destination(ancillary):
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            return data[8:12]
        if (level, kind) == (socket.IPPROTO_IPV6, IPV6_PKTINFO):
            return data[:16]
    return b""


def join():
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setblocking(False)
    if version == 4:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        interface = socket.inet_aton(options.interface) if options.interface else bytes(4)
        membership = options.group.packed + interface
        # Joined before it is bound: nothing of the group is missed, nothing of it is delivered yet.
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
        index = socket.if_nametoindex(options.interface) if options.interface else 0
        membership = options.group.packed + struct.pack("@I", index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
    sock.bind(("", options.port))
    return sock, membership


async def receive(sock):
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    left = options.count

    def readable():
        nonlocal left
        try:
            data, ancillary, _, _ = sock.recvmsg(65536, 256)
        except (BlockingIOError, InterruptedError):
            return
        if left and destination(ancillary) == options.group.packed:
            os.write(1, b"Received: " + data + b"\n")
            left -= 1
            if not left:
                done.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    loop.add_reader(sock, readable)
    await done.wait()


def main():
    sock, membership = join()
    failed = []
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: (failed.append(context), loop.stop()))
    try:
        loop.run_until_complete(receive(sock))
    except RuntimeError:
        pass
    if version == 4:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, membership)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_LEAVE_GROUP, membership)
    sock.close()
    if failed:
        sys.exit(f"cannot receive: {failed[0].get('exception')}")


try:
    main()
except OSError as error:
    sys.exit(f"cannot receive {options.group}:{options.port} on {options.interface}: {error.strerror}")
