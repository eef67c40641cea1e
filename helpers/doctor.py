"""Looks at the machine and says what the course will find there, and what to do where something is missing.

``python -m helpers.doctor`` prints it; the first notebook shows it.
"""

import dataclasses
import html
import os
import re
import shutil
import sys
import webbrowser
from collections.abc import Callable, Mapping
from pathlib import Path

from helpers import install, lab

ROOT = Path(__file__).parent.parent
TROUBLESHOOTING = "docs/troubleshooting.md"
GB = 1e9
SLOW = "a-training-takes-much-longer-than-the-notebook-says"  # sections of it that are named twice, or in a finding
CARD = "cuda-no-kernel-image-is-available-or-an-nvidia-card-that-torch-cannot-use"
MEMORY_GB, FREE_GB = 4, 1.5  # lesson 2 takes 2 GB, some of which the kernel that asks has already; a browser about 1


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing looked at: what it is, what was found, whether it will do, what to do if not, and where more is said.

    ``section`` is a heading of docs/troubleshooting.md, as an address calls it.
    """

    name: str
    found: str
    fine: bool
    advice: str = ""
    section: str = ""


@dataclasses.dataclass(frozen=True)
class Report:
    """All findings and a verdict; shows itself as a table in a notebook and as text elsewhere."""

    findings: tuple[Finding, ...]

    @property
    def ready(self) -> bool:
        """Whether everything found will do."""
        return all(finding.fine for finding in self.findings)

    @property
    def verdict(self) -> str:
        """One sentence: ready, or what to do."""
        if self.ready:
            return "Your machine is ready."
        wrong = [f for f in self.findings if not f.fine]
        more = " ".join(dict.fromkeys(f"{TROUBLESHOOTING}#{f.section}" for f in wrong if f.section))
        return "Not quite ready: " + " ".join(f.advice for f in wrong) + (f" More in {more}" if more else "")

    def __repr__(self) -> str:
        rows = [f"{'ok ' if f.fine else 'NO '} {f.name:12}{f.found}" for f in self.findings]
        return "\n".join([*rows, self.verdict])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{'✓' if f.fine else '✗'}</td><th scope='row'>{f.name}</th><td>{html.escape(f.found)}</td></tr>"
            for f in self.findings
        )
        heads = "".join(f"<th scope='col'>{head}</th>" for head in ("fine", "what", "found"))
        return f"<table><tr>{heads}</tr>{rows}</table><p><b>{html.escape(self.verdict)}</b></p>"


def examine() -> Report:
    """Look at everything that the course needs. Takes a second or two.

    Where Python or a package will not do, nothing else is looked at, since the rest asks the packages.
    """
    host = install.host()
    first = (python(sys.version_info[:3]), packages(install.lowest_versions(), install.version_here, host))
    if not all(finding.fine for finding in first):
        return Report(first)
    import psutil
    import torch
    import torchvision

    from helpers.judge import WEIGHTS

    if torch.cuda.is_available():
        seen = torch.cuda.get_device_name()
    else:
        seen = "Apple's, through MPS" if torch.backends.mps.is_available() else ""
    memory = psutil.virtual_memory()
    return Report(
        (
            *first,
            Finding("torch", f"{torch.__version__}, torchvision {torchvision.__version__}", True),
            cores(os.cpu_count() or 1),
            main_memory(memory.total / GB, memory.available / GB),
            disk(shutil.disk_usage(ROOT).free / GB),
            accelerator(seen, card=install.has_nvidia()),
            *([] if host else [browser()]),
            threads(torch.get_num_threads(), os.cpu_count() or 1),
            weights(WEIGHTS),
        )
    )


def python(version: tuple[int, ...]) -> Finding:
    """Whether Python is new enough."""
    found = ".".join(map(str, version))
    advice = "Install Python 3.11 or newer from python.org."
    return Finding("Python", found, version >= (3, 11), advice, "python-is-too-old-or-there-are-two")


def packages(lowest: Mapping[str, str], version_of: Callable[[str], str | None], host: str = "") -> Finding:
    """Whether all packages are there and new enough.

    Args:
        lowest: the lowest version of each package, by its name.
        version_of: gives the version that is installed; None where it is missing.
        host: such as Colab. Its own packages fit each other, so one that is older is only named; and no host needs
            JupyterLab.
    """
    named = {name: needed for name, needed in lowest.items() if not (host and name in install.FOR_LAB)}
    there = {name: version_of(name) for name in named}
    missing = [f"{name} is missing" for name in named if there[name] is None]
    older = [
        f"{name} {there[name]} is older than {needed}"
        for name, needed in named.items()
        if there[name] is not None and _numbers(there[name]) < _numbers(needed)
    ]
    wrong = missing if host else [*missing, *older]
    found = "; ".join([*missing, *older]) or f"all {len(named)} are there and new enough"
    found += f", as {host} has it" if older and not wrong else ""
    advice = "Run the first cell of code again." if host else "Install them again with `python helpers/install.py`."
    return Finding("packages", found, not wrong, advice, "a-package-is-missing-or-too-old")


def cores(count: int) -> Finding:
    """Whether there are two."""
    advice = "With one core everything works and takes about twice as long."
    return Finding("cores", str(count), count >= 2, advice, SLOW)


def main_memory(total: float, available: float) -> Finding:
    """Whether the memory will do, in GB."""
    found = f"{total:.0f} GB, {available:.1f} GB of them free"
    advice = "Close other programs and notebooks (Kernel, Shut Down All Kernels) before you run a lesson."
    enough = total >= 0.9 * MEMORY_GB and available >= FREE_GB  # some is lost to firmware
    return Finding("memory", found, enough, advice, "the-kernel-died-the-kernel-appears-to-have-died")


def disk(free: float) -> Finding:
    """Whether there is room, in GB, for what the course keeps."""
    advice = "Free at least 1 GB for cached pictures and checkpoints."
    return Finding("free disk", f"{free:.0f} GB", free > 1, advice, "no-space-left-on-device")


def accelerator(seen: str, card: bool) -> Finding:
    """The GPU, which nothing but the long run of homework 6 needs.

    Args:
        seen: what torch can use, or nothing.
        card: whether there is a driver for an NVIDIA card.
    """
    if card and not seen:
        found = f"an NVIDIA card that this torch cannot use: see {TROUBLESHOOTING}#{CARD}"
    else:
        found = seen or "none, and none is needed"
    return Finding("GPU", found, True)


def browser() -> Finding:
    """The browser in which JupyterLab will open. One that is not here will do as well."""
    if lab.browser_here(os.environ):
        controller = webbrowser.get()
        found = getattr(controller, "name", "") or type(controller).__name__
    else:
        found = "none on this machine; open the address that JupyterLab prints in Firefox, Chrome, Edge or Safari"
    return Finding("browser", Path(found).name if os.sep in found else found, True)


def threads(count: int, cores: int) -> Finding:
    """Whether torch leaves a core to the browser."""
    advice = "Import helpers before torch, or training slows down whenever the browser is busy."
    return Finding("threads", f"{count} for torch, of {cores} cores", count < max(cores, 2), advice, SLOW)


def weights(file: Path) -> Finding:
    """Whether the judge can read."""
    found = "its weights are there" if file.exists() else "its weights are missing"
    advice = "Run `make checkpoints`, or fetch the repository again."
    return Finding("the judge", found, file.exists(), advice, "a-file-of-weights-is-missing")


def _numbers(version: str) -> list[int]:
    """The numbers of a version up to the first that is none: 2.14.1+cpu gives 2, 14, 1."""
    return [int(part) for part in re.match(r"\d+(\.\d+)*", version)[0].split(".")]


if __name__ == "__main__":
    print(examine())
