import os
import re
import signal
import sys
import time

OPTIONS = {"--children": (1, 2**32 - 1, 4), "--interval-ms": (1, 2**32 - 1, 2000)}


def usage():
    sys.stderr.write("usage: fork-many\n")
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
    children, interval = given["--children"], given["--interval-ms"]
    born, refused = 0, None
    for k in range(1, children + 1):
        try:
            pid = os.fork()
        except OSError as error:
            refused = error
            break
        if pid == 0:
            time.sleep((children - k + 1) * interval / 1000)
            os._exit(k % 256)
        born += 1
    for _ in range(born):
        say(str(os.wait()))
    if refused:
        raise refused


try:
    main()
except OSError as error:
    sys.stderr.write(f"fork-many: {error}\n")
    os._exit(1)
