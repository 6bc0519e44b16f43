import os
import re
import signal
import sys
import time

OPTIONS = {"--count": (1, 2**32 - 1, 5), "--interval-ms": (1, 2**32 - 1, 2000)}


def usage():
    sys.stderr.write("usage: fork-zombie\n")
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
    # Python installs a handler without SA_RESTART; PEP 475 has it sleep and wait on after each signal.
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    pid = os.fork()
    if pid == 0:
        say("child exits...")
        os._exit(0)
    for i in range(given["--count"]):
        time.sleep(given["--interval-ms"] / 1000)
        say(f"parent is running... {i}")
    pid, status, _ = os.wait4(-1, 0)
    say(f"({pid}, {status})")
    say("parent is exiting...")


try:
    main()
except OSError as error:
    sys.stderr.write(f"fork-zombie: {error}\n")
    os._exit(1)
