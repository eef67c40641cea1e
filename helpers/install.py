"""Set up the course: ``python helpers/install.py`` makes ``.venv`` beside this folder and installs what lessons need.

``python helpers/install.py test`` installs what the tests need too. It runs before anything is installed, on whatever
Python there is. So it uses the standard library only, and no syntax that an old Python would trip over before it could
be told that it is too old. Safe to run again: what is there is left alone, and a folder that has moved is mended. A
``.venv`` that is a link to the environment of another copy of the course is used as it is.

On Colab, Kaggle and the like there is a Python already, and no ``.venv``: ``ready`` adds to it what it lacks.
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
# With the small torch, and with NVIDIA's libraries beside it: 1.8 and 6.4 once unpacked, 0.5 and 3.3 that pip keeps.
DISK_GB = {True: 3, False: 10}
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PATIENCE = 5  # seconds in which that index must answer
# Environment variables of notebooks in a browser that bring a Python of their own. Kaggle's machines have Colab's too.
HOSTS = {"KAGGLE_KERNEL_RUN_TYPE": "Kaggle", "COLAB_RELEASE_TAG": "Colab"}
FOR_LAB = ("jupyterlab",)  # what only `make lab` needs
HELD = ("torch", "torchvision", "numpy")  # fit the driver and each other, or are imported already
DRIVE = "/content/drive"  # where Colab mounts a learner's Google Drive


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


def state(extras, version):
    """What an environment must have been made from to be still right: its folder, its Python, the lists, the extras."""
    lists = b""
    for name in ("pyproject.toml", os.path.basename(LOCK)):
        with open(os.path.join(ROOT, name), "rb") as file:
            lists += file.read()
    return {
        "root": os.path.realpath(ROOT),
        "python": version,
        "lists": hashlib.sha256(lists).hexdigest(),
        "extras": extras,
        "newest": bool(os.environ.get("NEWEST")),
    }


def made():
    """What the environment that is there was made from, as its stamp says; nothing where there is no stamp of ours."""
    try:
        with open(os.path.join(VENV, "ready")) as stamp:
            found = json.load(stamp)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def python_of(venv):
    """The Python of an environment."""
    return os.path.join(venv, "Scripts" if os.name == "nt" else "bin", "python" + (".exe" if os.name == "nt" else ""))


def asked(question, *flags):
    """What the Python of the environment prints, a list of words; None where it does not run."""
    command = [python_of(VENV), "-I", *flags, "-c", question]
    try:
        return subprocess.check_output(command, stderr=subprocess.DEVNULL).decode().split()
    except (OSError, subprocess.CalledProcessError):
        return None


def version_there():
    """The version of the Python of the environment; None where there is none, or where it was removed or renamed."""
    words = asked("import sys; print(*sys.version_info[:2])", "-S")  # whatever is wrong with what is installed
    return words and list(map(int, words))


def torch_there():
    """The version of torch that is installed, such as 2.14.1+cpu for the small one; None where there is none."""
    words = asked("import importlib.metadata; print(importlib.metadata.version('torch'))")
    return words and words[0]


def has_nvidia():
    """Whether there is a driver for an NVIDIA card."""
    return any(map(os.path.exists, ("/proc/driver/nvidia", "/dev/nvidia0"))) or shutil.which("nvidia-smi") is not None


def answers(index=CPU_INDEX, seconds=PATIENCE):
    """Whether an index of packages can be reached."""
    import urllib.request  # slow to import, and seldom needed

    try:
        with urllib.request.urlopen(index + "/torch/", timeout=seconds) as page:
            return page.status == 200
    except (OSError, ValueError):  # urllib's errors and time-outs are OSErrors
        return False


def wants_small_torch(there, system):
    """Whether to take torch without NVIDIA's libraries, and why, as a sentence for the learner.

    Args:
        there: the version of torch that is installed, or None. An ordinary one stays, and so does a small one.
        system: ``sys.platform``.
    """
    if there or not system.startswith("linux"):  # elsewhere the ordinary torch is small
        return bool(there) and there.endswith("+cpu"), ""
    if has_nvidia():
        return False, "There is an NVIDIA card: torch comes with NVIDIA's libraries, about 3 GB to download in all."
    if not answers():
        return False, (
            "The index of the small torch (%s) does not answer, so the ordinary one is taken, with NVIDIA's libraries "
            "that nothing here needs: about 3 GB to download in all." % CPU_INDEX
        )
    return True, "No NVIDIA card here: the small torch is taken, about 0.5 GB to download in all."


def installer(there):
    """The commands that make an environment and install into it: uv's where it is there, else pip's.

    Args:
        there: whether the environment has a Python already. Then the first command is the one that brings pip, or none.
    """
    uv = shutil.which("uv")
    if uv:
        # It stops where it cannot keep what it downloads; pip only says so.
        kept = [] if os.access(os.path.expanduser("~"), os.W_OK) or os.environ.get("UV_CACHE_DIR") else ["--no-cache"]
        make = [uv, "venv", "--quiet", "--seed", "--allow-existing", "--python", sys.executable, VENV, *kept]
        return [] if there else make, [uv, "pip", "install", "--python", python_of(VENV), *kept]
    make = [sys.executable, "-m", "venv", VENV]
    if there:  # with this Python or with another; if making it was broken off, pip is not there yet
        make = [] if asked("import pip; print(pip.__version__)") else [python_of(VENV), "-m", "ensurepip"]
    return make, [python_of(VENV), "-m", "pip", "install", "--disable-pip-version-check", "--no-warn-script-location"]


def main(arguments):
    """Make the environment, or see that it is there. Ends with a plain sentence and exit code 1 where that fails."""
    if os.path.islink(VENV):
        return
    there, version = made(), version_there()
    if there.get("python", version) != version:
        version = None  # its packages are those of a Python that is gone
    extras = sorted(set(arguments) | set(there.get("extras", [])))
    wanted = state(extras, version or list(sys.version_info[:2]))
    if version and there == wanted:
        return
    make, install = installer(version)
    course = ["-e", ROOT + ("[%s]" % ",".join(extras) if extras else "")]
    moved = version and dict(there, root=wanted["root"]) == wanted
    if moved:
        print("The folder has moved: telling .venv where it is now.", flush=True)
    # Without isolation nothing is downloaded: torch has brought setuptools along.
    if not moved or subprocess.call([*install, "--quiet", "--no-deps", "--no-build-isolation", *course]):
        install_all(version, make, install if wanted["newest"] else [*install, "-c", LOCK], course)
    stamp = os.path.join(VENV, "ready")
    with open(stamp + ".partial", "w") as partial:
        json.dump(wanted, partial)
    os.replace(stamp + ".partial", stamp)
    print("Ready.")


def install_all(version, make, install, course):
    """Bring in whatever is not there: the environment if it has no version of Python, torch, and all the rest."""
    small, why = wants_small_torch(version and torch_there(), sys.platform)
    sentence = problem(version or sys.version_info, small=small)
    if sentence:
        sys.exit(sentence)
    print("Setting up the course in .venv; the first time it takes some minutes. " + why, flush=True)
    if not version and os.path.isdir(VENV):
        shutil.rmtree(VENV)
    if make and subprocess.call(make):
        sys.exit("Python could not make a virtual environment. On Debian and Ubuntu: sudo apt install python3-venv")
    if small and subprocess.call([*install, "--no-deps", "--index-url", CPU_INDEX, "torch", "torchvision"]):
        print("The small torch could not be had; the ordinary one follows, about 3 GB to download.", flush=True)
    if subprocess.call([*install, *course]):
        sys.exit(
            "The packages could not be installed; the lines above say why. Most often there is no network or the disk "
            "is full. Mend that and run the same command again: what is there already is kept."
        )


# ---- Where there is a Python already ----


def host():
    """Where the notebooks run, if it is a place with a Python of its own: Kaggle, Colab, or an empty text."""
    return next((name for variable, name in HOSTS.items() if variable in os.environ), "")


def lowest_versions():
    """The packages that the course names, each with the lowest version that it is tested with."""
    import tomllib  # since Python 3.11

    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
        named = tomllib.load(file)["project"]["dependencies"]
    return dict(requirement.split(">=") for requirement in named)


def version_here(name):
    """The version of a package in the Python that runs this; None where it is missing."""
    import importlib.metadata

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def ready():
    """Let the lessons run in this Python. It is called in the first cell of a notebook with buttons.

    What is missing is installed, and what is there stays, even where it is older than what the course is tested with:
    torch fits the driver, ipywidgets the pages of the host, and half of it is imported already. Then the kernel goes to
    the folder of the notebooks, unless it is inside the course, and whatever it starts finds the helpers too. Where
    a Google Drive is mounted, solved exercises are kept on it. At home nothing is missing, and nothing happens.

    Raises:
        RuntimeError: Python is too old, or what is missing cannot be had.
    """
    import importlib

    sentence = problem(sys.version_info, float("inf"))
    if sentence:
        raise RuntimeError(sentence)
    lacking = {name: low for name, low in lowest_versions().items() if name not in FOR_LAB and not version_here(name)}
    if lacking:
        print("Installing what is missing here: %s ..." % ", ".join(lacking), flush=True)
        held = ["%s==%s" % (name, version_here(name)) for name in HELD if version_here(name)]
        wanted = ["%s>=%s" % (name, low) for name, low in lacking.items()]
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *held, *wanted]
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if run.returncode:
            raise RuntimeError(
                "The packages could not be installed. Most often there is no network (on Kaggle: Settings, Internet) "
                "or the disk is full. Mend that and run this cell again. pip says:\n" + run.stdout.strip()[-1000:]
            )
        importlib.invalidate_caches()
        print("Ready.", flush=True)
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if ROOT not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [ROOT, *paths]))
    if os.path.ismount(DRIVE):
        kept = os.path.join(DRIVE, "MyDrive", "one-prompt-many-pictures")
        os.environ.setdefault("COURSE_PROGRESS", os.path.join(kept, "progress.json"))
        os.environ.setdefault("COURSE_GALLERY", os.path.join(kept, "gallery"))
    if os.path.commonpath([os.path.realpath(ROOT), os.path.realpath(os.getcwd())]) != os.path.realpath(ROOT):
        os.chdir(os.path.join(ROOT, "notebooks"))


if __name__ == "__main__":
    main(sys.argv[1:])
