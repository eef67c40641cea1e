"""Homework 6: train a diffusion model of faces, sample a thousand, judge them, pack them, report.

``python -m helpers.homework`` is the command line; notebook 12 calls the same functions.

    data     the learner's folder of faces, or the cartoon world; what chance decides at each step of a training
    run      a training that may be killed at any moment, on one process or many
    archive  a thousand samples, and the archive that is handed in
    score    the local judge and its anchors
    report   both questions of the report, with figures of the run
"""

import os
import shlex
import subprocess
import sys


def command_line(*words: object) -> str:
    """A command of this package as it must be typed here: with this Python, and quoted for the shell."""
    typed = [sys.orig_argv[0], "-m", __name__, *map(str, words)]
    return subprocess.list2cmdline(typed) if os.name == "nt" else shlex.join(typed)
