"""The subprocess module: a process per stage, joined by os.pipe."""
import os
import signal
import subprocess
import sys


def main(words):
    if not words:
        words = [b"ls", os.environb[b"HOME"], b"|", b"grep", b"^d", b"|", b"wc", b"-l"]
    stages = [[]]
    for word in words:
        if word == b"|":
            stages.append([])
        else:
            stages[-1].append(word)
    if not all(stages):
        sys.stderr.write("usage: pipeline [CMD [ARG]... ['|' CMD [ARG]...]...]\n")
        return 2

    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPIPE})
    running = []
    refused = None
    source = None
    for stage in stages:
        following = sink = None
        try:
            if stage is not stages[-1]:
                following, sink = os.pipe()
            running.append(subprocess.Popen(stage, stdin=source, stdout=sink))
        except OSError as error:
            # Only a failed exec names a file; else a pipe or the fork was refused.
            if error.filename is None:
                refused = error
            else:
                name = stage[0].decode(errors="replace")
                sys.stderr.write(f"pipeline: {name}: {error.strerror}\n")
                running.append(127 if isinstance(error, FileNotFoundError) else 126)
        for end in (source, sink):
            if end is not None:
                os.close(end)
        source = following
        if refused:
            break
    if source is not None:
        os.close(source)

    status = 0
    for process in running:
        status = process if isinstance(process, int) else process.wait()
    if refused:
        sys.stderr.write(f"pipeline: {refused}\n")
        return 1
    return 128 - status if status < 0 else status


sys.exit(main([os.fsencode(word) for word in sys.argv[1:]]))
