# The whole contract in Python: connect and send, options by argparse.
import argparse
import ipaddress
import socket
import struct
import sys


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
parser.add_argument("--ttl", type=number(0, 255), default=1)
parser.add_argument("--message", default="Hello!")
parser.add_argument("--count", type=number(1, 2**32 - 1), default=1)
words = sys.argv[1:]
if len(words) % 2:
    parser.error("an option needs a value")
# Joined by "=", because argparse takes a value that begins with a minus sign for an option.
options = parser.parse_args([f"{name}={value}" for name, value in zip(words[::2], words[1::2])])

try:
    if options.group.version == 4:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if options.interface:
            # An ip_mreqn with the interface's address in the middle.
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
                            struct.pack("=4s4si", bytes(4), socket.inet_aton(options.interface), 0))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, bytes([options.ttl]))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
    else:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        if options.interface:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(options.interface))
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, options.ttl)
    sock.connect((str(options.group), options.port))
    for _ in range(options.count):
        sock.send(options.message.encode())
except OSError as error:
    sys.exit(f"cannot send to {options.group}:{options.port} by {options.interface}: {error.strerror}")
