"""Looks at the machine and says what the course will find there, and what to do where something is missing."""

import dataclasses
import html
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
GB = 1e9


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing looked at: what it is, what was found, whether it will do, and what to do if not."""

    name: str
    found: str
    fine: bool
    advice: str = ""


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
        return "Not quite ready: " + " ".join(f.advice for f in self.findings if not f.fine)

    def __repr__(self) -> str:
        rows = [f"{'ok ' if f.fine else 'NO '} {f.name:12}{f.found}" for f in self.findings]
        return "\n".join([*rows, self.verdict])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{'✓' if f.fine else '✗'}</td><th scope='row'>{f.name}</th><td>{html.escape(f.found)}</td></tr>"
            for f in self.findings
        )
        return f"<table><tr><th></th><th>what</th><th>found</th></tr>{rows}</table><p><b>{self.verdict}</b></p>"


def examine() -> Report:
    """Look at Python, the packages, cores, disk, threads and the judge's weights. Takes a second or two."""
    import torch
    import torchvision

    from helpers.judge import WEIGHTS

    free = shutil.disk_usage(ROOT).free
    cores = os.cpu_count() or 1
    if torch.cuda.is_available():
        accelerator = torch.cuda.get_device_name()
    elif torch.backends.mps.is_available():
        accelerator = "Apple's, through MPS"
    else:
        accelerator = "none, and none is needed"
    return Report(
        (
            Finding(
                "Python",
                ".".join(map(str, sys.version_info[:3])),
                sys.version_info >= (3, 11),
                "Install Python 3.11 or newer from python.org.",
            ),
            Finding("torch", f"{torch.__version__}, torchvision {torchvision.__version__}", True),
            Finding("cores", str(cores), cores >= 2, "With one core everything works and takes about twice as long."),
            Finding("accelerator", accelerator, True),
            Finding(
                "free disk", f"{free / GB:.0f} GB", free > GB, "Free at least 1 GB for cached pictures and checkpoints."
            ),
            Finding(
                "threads",
                f"{torch.get_num_threads()}, which spin {os.environ.get('GOMP_SPINCOUNT', 'for long')} while they wait",
                "GOMP_SPINCOUNT" in os.environ,
                "Import helpers before torch, or training slows down whenever the browser is busy.",
            ),
            Finding(
                "the judge",
                "its weights are there" if WEIGHTS.exists() else "its weights are missing",
                WEIGHTS.exists(),
                "Run `make checkpoints`, or fetch the repository again.",
            ),
        )
    )


if __name__ == "__main__":
    print(examine())
