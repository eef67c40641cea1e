"""The report of homework 6: its two questions, each beside figures of the student's own run, as a PDF to hand in.

The answers are the student's. They are written into ``answers.md`` in the folder of the run, and the same command puts
them into the PDF. What was measured is kept in ``samplers.json``, so that a new answer costs no new samples; ``sample``
takes its number of steps and its sampler from there.
"""

import json
import re
import time
import unicodedata
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import matplotlib.pyplot as plt
import torch
from matplotlib import font_manager
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure as Page
from torch import Tensor
from torch.nn import functional as F

from helpers.homework import archive, run
from helpers.homework.score import Judge
from helpers.models.diffusion import Diffusion

FACES = 5  # the homework asks for the way of five
WAY = 50  # steps of that way
STOPS = (0, 1, 3, 6, 12, 24, 49)  # of them, the columns of the first figure
STEPS = (10, 25, 50, 100)
TABLE = "samplers.json"  # in the folder of the run
SAMPLERS = {"DDIM": 0.0, "DDPM": 1.0}  # and the eta of each
COARSE = 4  # points on a side: what is left of a picture when only its large shapes are
A4 = (8.27, 11.69)  # inches
LINES, WIDTH = 62, 92  # of a page of words; a Chinese character is two wide
PROMPT = "(Write your answer here instead of this line, and give the command again.)"
QUESTIONS = {
    "1. Five pictures on their way": "What differs from time to time? What is decided first, what last?",
    "2. DDPM and DDIM": "What differs in training, in sampling and in the pictures, and why is DDIM called faster?",
}
CHINESE = (
    "Noto Sans CJK TC",
    "Noto Sans TC",
    "PingFang TC",
    "Microsoft JhengHei",
    "Heiti TC",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "WenQuanYi Zen Hei",
    "Arial Unicode MS",
)


def make(folder: Path, model: Diffusion, config: run.Config, learnt: int, judge: Judge, n: int) -> Path:
    """Measure what is not measured yet, and write ``report.pdf`` into the folder of a run.

    Args:
        folder: of the run.
        model, config, learnt: what ``run.load`` gives for it.
        judge: of pictures like those that the run learnt from.
        n: samples for each sampler and number of steps.

    Returns:
        Where the report is.

    Raises:
        ValueError: the file of answers has lost a question.
        OSError: something can't be written.
    """
    said = answers(folder)
    rows = measured(folder, model, learnt, judge, n)
    about = (
        f"{learnt:,} steps of {config.batch} pictures of {config.size} pixels, {judge.data.fingerprint}; "
        f"T = {config.timesteps:,}, {config.schedule} schedule, the network predicts the {config.predicts}; "
        f"{sum(p.numel() for p in model.network.parameters()):,} weights"
    )
    path = folder / "report.pdf"
    archive.write(path, lambda file: _draw(file, said, about, model, rows))
    return path


# ---- The answers ----


def answers(folder: Path) -> dict[str, str]:
    """The student's answer to each of ``QUESTIONS``; the file is written first where there is none.

    Raises:
        ValueError: a question is missing in the file, so nobody knows what was answered.
    """
    path = folder / "answers.md"
    if not path.exists():
        sections = [f"# {question}\n\n{hint}\n\n{PROMPT}\n" for question, hint in QUESTIONS.items()]
        path.write_text("\n".join(sections), encoding="utf-8")
    found = re.split(r"^# (.*)\n", path.read_text(encoding="utf-8-sig"), flags=re.MULTILINE)[1:]
    said = {name.strip(): text.strip() for name, text in zip(found[::2], found[1::2], strict=True)}
    if missing := [question for question in QUESTIONS if question not in said]:
        raise ValueError(f"{path} has no line `# {missing[0]}` any more; put it back above your answer")
    return {question: said[question] for question in QUESTIONS}


def _fonts(text: str) -> list[str]:
    """The usual family, and another one for what it cannot write, if there is one."""
    usual = plt.rcParams["font.sans-serif"][0]

    def writes(family: str) -> set[str]:
        return {chr(code) for code in font_manager.get_font(font_manager.findfont(family)).get_charmap()}

    there = {entry.name for entry in font_manager.fontManager.ttflist}
    families, left = [usual], {letter for letter in text if not letter.isspace()} - writes(usual)
    for family in CHINESE:
        if family in there and left & writes(family):
            families, left = [*families, family], left - writes(family)
    if left:
        warnings.warn(
            f"no font here can write {''.join(sorted(left)[:8])}: they are boxes in the PDF. Install a font and give "
            "the command again; on Colab and Linux: apt-get install -y fonts-noto-cjk, then rm -r ~/.cache/matplotlib",
            stacklevel=2,
        )
    return families


def _wrapped(text: str) -> list[str]:
    """Lines of at most ``WIDTH``, broken at spaces, and between characters that are two wide."""
    lines = []
    for paragraph in text.splitlines():
        line, wide = "", 0
        for word in re.findall(r"\s+|[\u2e80-\uffef]|[^\s\u2e80-\uffef]{1,80}", paragraph):
            width = sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in word)
            if wide + width > WIDTH:
                lines.append(line.rstrip())
                line, wide = "", 0
                if word.isspace():
                    continue
            line, wide = line + word, wide + width
        lines.append(line.rstrip())
    return lines


# ---- What is measured ----


def measured(folder: Path, model: Diffusion, learnt: int, judge: Judge, n: int) -> list[dict[str, Any]]:
    """Every sampler at every number of steps: its figures, and seconds a picture. What is known is not made again.

    Args:
        folder: of the run, where ``samplers.json`` is kept.
        model: of the run.
        learnt: steps for which it has learnt; after more, everything is measured anew.
        judge: of its samples.
        n: samples in each row.
    """
    about = {"learnt": learnt, "samples": n, "pictures": judge.data.fingerprint}
    stored = _stored(folder)
    rows = stored["rows"] if {key: stored.get(key) for key in about} == about else []
    known = {(row["sampler"], row["steps"]) for row in rows}
    for steps in (steps for steps in STEPS if steps <= len(model.alpha_bar) - 1):
        for name, eta in SAMPLERS.items():
            if (name, steps) in known:
                continue
            print(f"{n} faces by {steps} steps of {name}")
            start = time.monotonic()
            made = archive.generate(model, n, steps=steps, eta=eta)
            pace = (time.monotonic() - start) / n
            rows.append({"sampler": name, "steps": steps, "seconds": pace, **vars(judge.score(made))})
            kept = json.dumps({**about, "rows": rows}, indent=1).encode()
            archive.write(folder / TABLE, lambda file, kept=kept: file.write(kept))  # a report that is stopped goes on
    return rows


def best(folder: Path, learnt: int) -> dict[str, Any] | None:
    """The row of ``samplers.json`` with the lowest FD-faces; None where this model was not measured."""
    stored = _stored(folder)
    rows = stored["rows"] if stored.get("learnt") == learnt else []
    return min(rows, key=lambda row: row["fd_faces"], default=None)


def _stored(folder: Path) -> dict[str, Any]:
    """What is in the table of a run, and by what it was measured; nothing where there is none."""
    path = folder / TABLE
    return json.loads(path.read_text()) if path.exists() else {}


# ---- The pages ----


def _draw(file: BinaryIO, said: dict[str, str], about: str, model: Diffusion, rows: list[dict[str, Any]]) -> None:
    """The whole PDF: for each question a page of figures, and the words."""
    look = {"font.family": _fonts("".join(said.values())), "pdf.fonttype": 42}  # letters that can be searched for
    with plt.rc_context(look), PdfPages(file, metadata={"Title": "Homework 6: report"}) as pages:
        for (question, answer), draw in zip(said.items(), (_draw_the_way, _draw_the_samplers), strict=True):
            page = plt.figure(figsize=A4)
            page.get_layout_engine().set(rect=(0.07, 0.03, 0.86, 0.89))  # the margins, and room for the title
            page.text(0.5, 0.955, question, ha="center", fontsize=15)
            page.text(0.5, 0.935, about, ha="center", fontsize=7)
            draw(page, model, rows)
            for each in (page, *_words(question, answer)):
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "Glyph .* missing")  # said once, by _fonts
                    pages.savefig(each)
                plt.close(each)


def _draw_the_way(page: Page, model: Diffusion, rows: list[dict[str, Any]]) -> None:
    """Five faces, step after step: x, the guess, how it has changed; and when large shapes and details settle."""
    z = torch.randn(FACES, *model.latent_shape, generator=torch.Generator().manual_seed(0)).to(model.alpha_bar.device)
    steps = min(WAY, len(model.alpha_bar) - 1)
    stops = [stop for stop in STOPS if stop < steps - 1] + [steps - 1]
    way = [(x.cpu(), guess.cpu()) for x, guess in model.trajectory([run.CAPTION] * FACES, z=z, steps=steps)]
    seen = torch.stack([((x + 2) / 4).clamp(0, 1) for x, _ in way])[stops]  # (stops, 5, 3, s, s), as the guesses
    guesses = torch.stack([guess for _, guess in way])
    changes = (0.5 + guesses[stops].diff(dim=0, prepend=guesses[stops[:1]])).clamp(0, 1)
    grid = torch.stack([seen, guesses[stops], changes], dim=2)  # (stops, 5, 3 kinds, 3, s, s)
    side = grid.shape[-1]
    mosaic = grid.permute(1, 2, 4, 0, 5, 3).reshape(FACES * 3 * side, len(stops) * side, 3)
    above, below = page.subplots(2, 1, height_ratios=[5, 1])
    above.imshow(mosaic, interpolation="nearest")
    names = [f"{face + 1}: {kind}" for face in range(FACES) for kind in ("x", "guess", "change")]
    above.set_yticks([side * (k + 0.5) for k in range(len(names))], names)
    above.set_xticks([side * (k + 0.5) for k in range(len(stops))], [f"step {stop + 1}" for stop in stops])
    above.tick_params(length=0, labelsize=8, top=False, labeltop=True, labelbottom=False)
    above.spines[:].set_visible(False)
    for name, distance in settled(guesses).items():
        below.plot(range(1, steps + 1), distance, label=name)
    below.set(xlabel="step", ylabel="distance to the last guess", ylim=(0, None))
    below.legend()


def settled(guesses: Tensor) -> dict[str, Tensor]:
    """How far guesses ``(steps, n, 3, s, s)`` are from the last, 1 at first: ``(steps,)`` for shapes and details."""
    flat = guesses.flatten(0, 1)
    large = F.interpolate(F.adaptive_avg_pool2d(flat, COARSE), size=flat.shape[-2:], mode="bilinear")
    distances = {}
    for name, part in {"large shapes": large, "details": flat - large}.items():
        part = part.view_as(guesses).flatten(1)
        distance = (part - part[-1]).square().mean(1).sqrt()
        distances[name] = distance / distance[0].clamp(min=1e-9)
    return distances


def _draw_the_samplers(page: Page, model: Diffusion, rows: list[dict[str, Any]]) -> None:
    """FD-faces and KID of both samplers over the number of steps, and all their figures in a table."""
    figure, table, _ = page.subfigures(3, 1, height_ratios=[3, 3, 2])
    axes = figure.subplots(1, 2)
    for name in SAMPLERS:
        mine = [row for row in rows if row["sampler"] == name]
        for axis, key in zip(axes, ("fd_faces", "kid"), strict=True):
            axis.plot([row["steps"] for row in mine], [row[key] for row in mine], "o-", label=name)
    for axis, label in zip(axes, ("FD-faces, less is better", "KID, less is better"), strict=True):
        axis.set(xlabel="steps, each asks the network once", ylabel=label, ylim=(0, None))
    axes[0].legend()
    shown = {"steps": "d", "seconds": ".3f", "fd_faces": ".2f", "kid": ".3f", "precision": ".0%", "recall": ".0%"}
    heads = ["sampler", "steps", "seconds a picture", "FD-faces", "KID", "precision", "recall"]
    cells = [[row["sampler"], *(format(row[key], kind) for key, kind in shown.items())] for row in rows]
    axis = table.subplots()
    axis.axis("off")
    made = axis.table(cells, colLabels=heads, loc="center", cellLoc="center", edges="horizontal")
    made.auto_set_font_size(False)
    made.set_fontsize(9)
    made.scale(1, 1.5)


def _words(question: str, answer: str) -> list[Page]:
    """The answer, on as many pages as it takes."""
    lines = _wrapped(answer)
    made = []
    for start in range(0, len(lines), LINES):
        page = plt.figure(figsize=A4, layout="none")
        page.text(0.09, 0.95, question, fontsize=13, va="top")
        page.text(0.09, 0.91, "\n".join(lines[start : start + LINES]), fontsize=10, va="top", linespacing=1.4)
        made.append(page)
    return made
