import os
import re
import signal
import sys
import time

OPTIONS = {"--count": (1, 2**32 - 1, 5), "--interval-ms": (1, 2**32 - 1, 2000)}


def usage():
    sys.stderr.write("usage: fork-reap\n")
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
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    pid = os.fork()
    if pid == 0:
        say("child exits...")
        os._exit(0)
    for i in range(given["--count"]):
        time.sleep(given["--interval-ms"] / 1000)
        say(f"parent is running... {i}")
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        say("no child to wait for")
    say("parent is exiting...")


try:
    main()
except OSError as error:
    sys.stderr.write(f"fork-reap: {error}\n")
    os._exit(1)
