"""byte-swap with the functions of the socket module."""
import re
import socket
import sys

calls = {"htons": 16, "ntohs": 16, "htonl": 32, "ntohl": 32}
words = sys.argv[1:]
if (
    len(words) != 2
    or words[0] not in calls
    or not re.fullmatch("[0-9]+", words[1], re.ASCII)
    or int(words[1]) >= 2 ** calls[words[0]]
):
    print("usage: byte-swap htons|ntohs|htonl|ntohl N", file=sys.stderr)
    sys.exit(2)
try:
    print(getattr(socket, words[0])(int(words[1])), flush=True)
except OSError as error:
    sys.exit("cannot write to stdout: %s" % error)
