import os
import signal
import time

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
pid = os.fork()
if pid == 0:
    print("child exits...")
    os._exit(0)
else:
    for i in range(5):
        time.sleep(2)
        print("parent is running...", i)
    try:
        print(os.wait())
    except ChildProcessError:
        print("no child to wait for")
    print("parent is exiting...")
