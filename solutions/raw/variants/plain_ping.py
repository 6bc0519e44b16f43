# An echo request by hand, in a few lines: raw-ping HOST, no options.
import os
import socket
import struct
import sys


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


host = socket.gethostbyname(sys.argv[1])
sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
sock.settimeout(1)
identifier = os.getpid() & 0xFFFF
payload = b"x" * 56
request = struct.pack("!BBHHH", 8, 0, 0, identifier, 1) + payload
request = struct.pack("!BBHHH", 8, 0, checksum(request), identifier, 1) + payload
sock.sendto(request, (host, 0))
while True:
    packet, (sender, _) = sock.recvfrom(65536)
    icmp = packet[(packet[0] & 15) * 4:]
    if sender == host and icmp[0] == 0 and struct.unpack("!HH", icmp[4:8]) == (identifier, 1):
        print(f"Reply from {sender}: seq=1")
        break
