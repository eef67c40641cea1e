"""Set up the course: ``python helpers/install.py`` makes ``.venv`` beside this folder and installs everything into it.

Runs before anything is installed, on whatever Python there is, so it uses the standard library only, and no syntax that
an old Python would trip over before it could be told that it is too old. Safe to run again.
"""

import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
OLDEST = (3, 11)
DISK_GB = 8  # torch for Linux brings NVIDIA's libraries along: about 6 GB once unpacked


def problem(version=sys.version_info, free_bytes=None):
    """What stands in the way, as one plain sentence; None if nothing does."""
    if tuple(version[:2]) < OLDEST:
        return "The course needs Python %d.%d or newer, and this is %d.%d. Install a newer one from python.org." % (
            OLDEST + tuple(version[:2])
        )
    free = shutil.disk_usage(ROOT).free if free_bytes is None else free_bytes
    if not os.path.isdir(VENV) and free < DISK_GB * 1e9:
        return (
            "The course needs %d GB of free disk, and there are %.1f GB. Make room, or install the small build of "
            "torch first, as the README says." % (DISK_GB, free / 1e9)
        )
    return None


def main():
    """Make the environment. Ends with a plain sentence and exit code 1 where that cannot be done."""
    sentence = problem()
    if sentence:
        sys.exit(sentence)
    python = os.path.join(VENV, "Scripts" if os.name == "nt" else "bin", "python")
    print(
        "Setting up the course in .venv. The first time this downloads about 3 GB and takes some minutes.", flush=True
    )
    if subprocess.call([sys.executable, "-m", "venv", VENV]):
        sys.exit("Python could not make a virtual environment. On Debian and Ubuntu: sudo apt install python3-venv")
    # Debug noise of pip is no help to a beginner; its progress bars are.
    if subprocess.call([python, "-m", "pip", "install", "--disable-pip-version-check", "-e", ROOT + "[test]"]):
        sys.exit(
            "The packages could not be installed; pip says why in the lines above. Most often there is no network or "
            "the disk is full. Mend that and run the same command again: what is there already is kept."
        )
    with open(os.path.join(VENV, "ready"), "w") as stamp:
        stamp.write("installed from pyproject.toml\n")
    print("Ready.")


if __name__ == "__main__":
    main()
