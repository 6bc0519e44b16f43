# A UDP datagram by hand, in a few lines: raw-udp HOST, no options. The IP checksum is left to the system.
import socket
import struct
import sys


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


host = socket.gethostbyname(sys.argv[1])
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
probe.connect((host, 5000))
source, port = probe.getsockname()
addresses = socket.inet_aton(source) + socket.inet_aton(host)
payload = struct.pack("!h", 1)
header = struct.pack("!HHHH", port, 5000, 8 + len(payload), 0)
total = checksum(addresses + struct.pack("!BBH", 0, 17, 8 + len(payload)) + header + payload) or 0xFFFF
header = struct.pack("!HHHH", port, 5000, 8 + len(payload), total)
ip = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(payload), 54321, 0, 255, 17, 0) + addresses
sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
sock.sendto(ip + header + payload, (host, 0))
