import os
import time

pid = os.fork()
if pid == 0:
    print("child exits...")
    os._exit(0)
else:
    for i in range(5):
        time.sleep(2)
        print("parent is running...", i)
    print(os.wait())
    print("parent is exiting...")
