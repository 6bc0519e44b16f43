"""show-bytes with int.to_bytes."""
import re
import sys

words = sys.argv[1:] or ["16909060"]
if len(words) > 1 or not re.fullmatch("[0-9]+", words[0], re.ASCII) or int(words[0]) >= 2**32:
    print("usage: show-bytes [N]", file=sys.stderr)
    sys.exit(2)
number = int(words[0])


def lines(data):
    return "".join("Byte %d has %02x\n" % pair for pair in enumerate(data))


little = number.to_bytes((number.bit_length() + 7) // 8, "little")
big = number.to_bytes(4, "big")
try:
    sys.stdout.write("Var has %08x\n%s\n%s\n%s" % (number, lines(little), lines(big), lines(big)))
    sys.stdout.flush()
except OSError as error:
    sys.exit("cannot write to stdout: %s" % error)
