"""pack with the struct module."""
import re
import socket
import struct
import sys


def refuse(problem):
    print(problem, "usage: pack FORMAT VALUE...", sep="\n", file=sys.stderr)
    sys.exit(2)


def value(code, text):
    if code == "s":
        try:
            return socket.inet_pton(socket.AF_INET, text)
        except OSError:
            refuse("%s is not an address" % text)
    if not re.fullmatch("-?[0-9]+", text, re.ASCII):
        refuse("%s is not a number" % text)
    return int(text)


if len(sys.argv) < 2 or not re.fullmatch(r"[!<>=]([0-9]*[bBhHiIqQ]|4s)+", sys.argv[1], re.ASCII):
    refuse("bad format")
codes = []
for count, code in re.findall(r"([0-9]*)([a-zA-Z])", sys.argv[1]):
    codes += code if code == "s" else code * int(count or 1)
if len(codes) != len(sys.argv) - 2:
    refuse("wrong number of values")
try:
    data = struct.pack(sys.argv[1], *[value(*pair) for pair in zip(codes, sys.argv[2:])])
except struct.error as error:
    refuse(error)
try:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
except OSError as error:
    sys.exit("cannot write to stdout: %s" % error)
