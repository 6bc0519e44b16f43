import os
import re
import signal
import sys
import time

OPTIONS = {"--count": (1, 2**32 - 1, 5), "--interval-ms": (1, 2**32 - 1, 2000)}


def usage():
    sys.stderr.write("usage: fork-nowait\n")
    sys.exit(2)


def parse():
    values = {name: default for name, (low, high, default) in OPTIONS.items()}
    words = sys.argv[1:]
    if len(words) % 2:
        usage()
    for name, value in zip(words[::2], words[1::2]):
        if name not in OPTIONS or not re.fullmatch("[0-9]{1,18}", value, re.ASCII):
            usage()
        low, high, _ = OPTIONS[name]
        if not low <= int(value) <= high:
            usage()
        values[name] = int(value)
    return values


def say(line):
    data = (line + "\n").encode()
    while data:
        data = data[os.write(1, data):]


def main():
    given = parse()
    if os.fork():
        say("parent is exiting...")
        return
    for i in range(given["--count"]):
        time.sleep(given["--interval-ms"] / 1000)
        say(f"child is running... {i}")


try:
    main()
except OSError as error:
    sys.stderr.write(f"fork-nowait: {error}\n")
    os._exit(1)
