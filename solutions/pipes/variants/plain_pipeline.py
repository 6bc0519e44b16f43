import os

stages = [["ls", os.path.expanduser("~")], ["grep", "^d"], ["wc", "-l"]]
previous = None
for i, stage in enumerate(stages):
    if i < len(stages) - 1:
        reader, writer = os.pipe()
    if os.fork() == 0:
        if previous is not None:
            os.dup2(previous, 0)
        if i < len(stages) - 1:
            os.dup2(writer, 1)
        os.execvp(stage[0], stage)
    if previous is not None:
        os.close(previous)
    if i < len(stages) - 1:
        os.close(writer)
        previous = reader
for stage in stages:
    os.wait()
