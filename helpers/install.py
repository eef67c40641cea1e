"""Set up the course: ``python helpers/install.py`` makes ``.venv`` beside this folder and installs what lessons need.

``python helpers/install.py test`` installs what the tests need too. It runs before anything is installed, on whatever
Python there is. So it uses the standard library only, and no syntax that an old Python would trip over before it could
be told that it is too old. Safe to run again: what is there is left alone, and a folder that has moved is mended.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
LOCK = os.path.join(ROOT, "requirements.lock")
OLDEST = (3, 11)
DISK_GB = {True: 3, False: 8}  # with the small torch, and with NVIDIA's libraries beside it
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PATIENCE = 5  # seconds in which that index must answer


def problem(version=sys.version_info, free_bytes=None, small=False):
    """What stands in the way, as one plain sentence; None if nothing does."""
    if tuple(version[:2]) < OLDEST:
        return "The course needs Python %d.%d or newer, and this is %d.%d. Install a newer one from python.org." % (
            OLDEST + tuple(version[:2])
        )
    free = shutil.disk_usage(ROOT).free if free_bytes is None else free_bytes
    if not os.path.isdir(VENV) and free < DISK_GB[small] * 1e9:
        needed = DISK_GB[small]
        return "The course needs %d GB of free disk, and there are %.1f GB. Make room, and try again." % (
            needed,
            free / 1e9,
        )
    return None


def state(extras):
    """What an environment must have been made from to be still right: the folder it is in, the lists, the extras."""
    lists = b""
    for name in ("pyproject.toml", os.path.basename(LOCK)):
        with open(os.path.join(ROOT, name), "rb") as file:
            lists += file.read()
    newest = bool(os.environ.get("NEWEST"))
    return {"root": ROOT, "lists": hashlib.sha256(lists).hexdigest(), "extras": extras, "newest": newest}


def made():
    """What the environment that is there was made from; nothing where there is none, or its Python is gone."""
    if not os.path.exists(python_of(VENV)):
        return {}
    try:
        with open(os.path.join(VENV, "ready")) as stamp:
            found = json.load(stamp)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def python_of(venv):
    """The Python of an environment."""
    return os.path.join(venv, "Scripts" if os.name == "nt" else "bin", "python" + (".exe" if os.name == "nt" else ""))


def has_nvidia():
    """Whether there is a driver for an NVIDIA card."""
    return os.path.exists("/proc/driver/nvidia") or shutil.which("nvidia-smi") is not None


def answers(index=CPU_INDEX, seconds=PATIENCE):
    """Whether an index of packages can be reached."""
    import urllib.request  # slow to import, and seldom needed

    try:
        with urllib.request.urlopen(index + "/torch/", timeout=seconds) as page:
            return page.status == 200
    except (OSError, ValueError):  # urllib's errors and time-outs are OSErrors
        return False


def wants_small_torch(system=sys.platform):
    """Whether to take torch without NVIDIA's libraries, and why, as a sentence for the learner."""
    if not system.startswith("linux"):
        return False, ""  # there the ordinary torch is small
    if has_nvidia():
        return False, "There is an NVIDIA card: torch comes with NVIDIA's libraries, about 3 GB to download."
    if not answers():
        return False, (
            "The index of the small torch (%s) does not answer, so the ordinary one is taken, with NVIDIA's libraries "
            "that nothing here needs: about 3 GB to download." % CPU_INDEX
        )
    return True, "No NVIDIA card here: the small torch is taken, about 200 MB to download."


def installer():
    """The commands that make an environment and install into it: uv's where it is there, else pip's."""
    uv = shutil.which("uv")
    if uv:
        return [uv, "venv", "--quiet", "--seed", "--allow-existing", "--python", sys.executable, VENV], [
            uv,
            "pip",
            "install",
            "--python",
            python_of(VENV),
        ]
    pip = [python_of(VENV), "-m", "pip", "install", "--disable-pip-version-check", "--no-warn-script-location"]
    return [sys.executable, "-m", "venv", VENV], pip


def main(arguments):
    """Make the environment, or see that it is there. Ends with a plain sentence and exit code 1 where that fails."""
    there = made()
    extras = sorted(set(arguments) | set(there.get("extras", [])))
    wanted = state(extras)
    if there == wanted:
        return
    moved = there and dict(there, root=ROOT) == wanted
    small, why = (False, "") if there else wants_small_torch()
    sentence = problem(small=small)
    if sentence:
        sys.exit(sentence)
    make, install = installer()
    if moved:
        print("The folder has moved: telling .venv where it is now.", flush=True)
        install = [*install, "--no-deps"]
    elif there:
        print("The list of packages has changed: bringing .venv up to date.", flush=True)
    else:
        print("Setting up the course in .venv, once; it takes some minutes. " + why, flush=True)
        if os.path.isdir(VENV) and not os.path.exists(python_of(VENV)):
            shutil.rmtree(VENV)  # its Python was removed or renamed
        if subprocess.call(make):
            sys.exit("Python could not make a virtual environment. On Debian and Ubuntu: sudo apt install python3-venv")
    locked = [] if wanted["newest"] or moved else ["-c", LOCK]
    if small and subprocess.call([*install, "--no-deps", "--index-url", CPU_INDEX, *locked, "torch", "torchvision"]):
        print("The small torch could not be had; the ordinary one follows, about 3 GB to download.", flush=True)
    course = ROOT + ("[%s]" % ",".join(extras) if extras else "")
    if subprocess.call([*install, *locked, "-e", course]):
        sys.exit(
            "The packages could not be installed; the lines above say why. Most often there is no network or the disk "
            "is full. Mend that and run the same command again: what is there already is kept."
        )
    stamp = os.path.join(VENV, "ready")
    with open(stamp + ".partial", "w") as partial:
        json.dump(wanted, partial)
    os.replace(stamp + ".partial", stamp)
    print("Ready.")


if __name__ == "__main__":
    main(sys.argv[1:])
