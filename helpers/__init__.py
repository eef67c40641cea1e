"""The small package behind the course *One Prompt, Many Pictures*.

Import it before torch. A laptop runs a browser and a kernel at once. A thread of torch that spins for long while it
waits for the other takes the core that the other needs; one that sleeps at once must be woken hundreds of times in
every training step. A spin of some microseconds comes close to the better of the two, with a core busy and with none:
``make bench`` measures it. The OpenMP library of torch for Linux reads this setting once, when torch loads it.
"""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "4000")
