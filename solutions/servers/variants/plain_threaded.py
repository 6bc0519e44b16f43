"""The threaded server as a course would write it: no options, a lock around the total."""
import re
import socket
import threading

total = 0
lock = threading.Lock()


def wrap(number):
    return (number + 2**63) % 2**64 - 2**63


def answer(line):
    global total
    if re.fullmatch(rb"add -?[0-9]{1,19}", line):
        number = int(line[4:])
        if -(2**63) <= number < 2**63:
            with lock:
                total = wrap(total + number)
                return b"total %d\n" % total
    return b"error: what?\n"


def serve(client):
    data = b""
    while True:
        received = client.recv(512)
        if not received:
            break
        data += received
        while b"\n" in data:
            line, data = data.split(b"\n", 1)
            if len(line) > 1024:
                client.sendall(b"error: too long\n")
                client.close()
                return
            if line == b"quit":
                client.close()
                return
            client.sendall(answer(line))
        if len(data) > 1024:
            client.sendall(b"error: too long\n")
            break
    client.close()


listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("", 5000))
listener.listen(5)
while True:
    client, peer = listener.accept()
    threading.Thread(target=serve, args=(client,), daemon=True).start()
