# Sends stdin, ends its direction, prints the receipt: no options.
import socket
import struct
import sys

client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
client.connect(("127.0.0.1", 5000))
sent = 0
while True:
    data = sys.stdin.buffer.read(4096)
    if not data:
        break
    client.sendall(data)
    sent += len(data)
client.shutdown(socket.SHUT_WR)
receipt = client.recv(12, socket.MSG_WAITALL)
count, total = struct.unpack("!QI", receipt)
print(f"Sent {sent} bytes, server counted {count}, checksum 0x{total:08x}")
client.close()
