import os
import time

pid = os.fork()
if pid == 0:
    for i in range(5):
        time.sleep(2)
        print("child is running...", i)
    os._exit(0)
else:
    print(os.wait())
    print("parent is exiting...")
