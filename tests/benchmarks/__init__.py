"""Our models beside what one would otherwise pick: same dogs, same judge, same kind of second.

    contestants  who takes part, with what settings
    ours         our models, as the course trains them
    peers        the others, as their documentation trains them
    measure      one row of the table, in a process of its own
    table        the rows that are kept, and those that are missing
    report       from rows to ratios, a table and a plot

``make peers`` installs the others in ``build/peers-venv`` and measures whatever is missing in ``results.json``.
All seconds are seconds of work (CPU seconds) of one thread, so that a busy neighbour changes little.
"""
