"""The small package behind the course *One Prompt, Many Pictures*.

Import it before torch. A laptop runs a browser and a kernel at once, and a thread of torch that spins while it waits
takes the core that another thread needs; ``make bench`` measures by how much. Sleeping threads hold their speed, and
the OpenMP library reads this setting once, when torch loads it.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
