"""The small package behind the course *One Prompt, Many Pictures*.

Import it before torch. A laptop runs a browser and a kernel at once. Where torch takes every core, its threads wait
for the one that the browser has pushed aside, hundreds of times in a training step. On two cores a second thread makes
a step a quarter shorter while the machine is quiet, and almost twice as long while one core is busy. So torch gets
half of the cores. Where that is more than one thread, they wait for each other with a short spin, which costs a busy
neighbour little. ``make bench`` measures both. What torch cannot do on Apple's GPU, it does on the CPU. If these
variables are set already, they are left as they are.
"""

import os

_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _cores // 2)))
os.environ.setdefault("GOMP_SPINCOUNT", "4000")
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
