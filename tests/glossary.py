"""The glossary, made from the closing tables of the notebooks: ``make glossary`` writes ``GLOSSARY.md``.

A term belongs to the notebook that introduces it, so it is written there and nowhere else. Symbols stand in no closing
table: they are listed here, and a test looks for each in its notebook.
"""

import json
import os
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILE = ROOT / "GLOSSARY.md"
ROW = re.compile(r"^\| (?!term \|)(?!---)(.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)

# What is written in formulas, what it is, its name in code, and the notebook that introduces it.
SYMBOLS = [
    ("z", "the random vector", "z", "04_random_vector"),
    (r"\mu", "mean of a Gaussian", "mu", "05_vae"),
    (r"\sigma", "standard deviation of a Gaussian", "sigma", "05_vae"),
    (r"\log p", "density of a picture, in nats", "log_prob", "06_flow"),
    (r"\bar\alpha_t", "share of the picture's variance that is left at step t", "alpha_bar", "07_diffusion"),
    (r"\beta_t", "variance of the noise that step t adds", "beta", "07_diffusion"),
    (r"x_t", "the picture with the noise of t steps", "x_t", "07_diffusion"),
    (r"\varepsilon", "the noise, standard normal", "noise", "07_diffusion"),
    (r"\eta", "how much fresh noise a step brings: 0 for DDIM, 1 for DDPM", "eta", "07_diffusion"),
    ("V(D)", "the value of the game for a discriminator D", "game_value", "08_gan"),
]


def cells(path: Path, kind: str) -> list[str]:
    """The sources of the cells of one kind, ``"markdown"`` or ``"code"``."""
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == kind]


def terms() -> list[tuple[str, str, str, Path]]:
    """English, 繁體中文, the name in code, and the notebook, in the order of the course."""
    found = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        found += [(*row, path) for row in ROW.findall(cells(path, "markdown")[-1])]
    return found


def page() -> str:
    """The glossary in Markdown: the terms in alphabetical order, then the symbols in the order of the course."""
    lines = [
        "# Glossary",
        "",
        "Every term of the course, with its name in code and the notebook that introduces it. `make glossary` makes",
        "this page from the last cells of the notebooks.",
        "",
        "| term | 繁體中文 | here | notebook |",
        "|---|---|---|---|",
    ]
    for english, chinese, code, path in sorted(terms(), key=lambda term: term[0].lower()):
        lines.append(f"| {english} | {chinese} | {code} | [{int(path.stem[:2])}](notebooks/{path.name}) |")
    lines += ["", "## Symbols", "", "| symbol | what it is | in code | notebook |", "|---|---|---|---|"]
    for symbol, meaning, code, name in SYMBOLS:
        lines.append(f"| ${symbol}$ | {meaning} | `{code}` | [{int(name[:2])}](notebooks/{name}.ipynb) |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    partial = FILE.with_suffix(".partial")
    partial.write_text(page(), encoding="utf-8", newline="\n")
    os.replace(partial, FILE)
