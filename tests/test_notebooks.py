"""The rules of the house for notebooks. Nothing is executed: nbval does that.

A rule is a function ``rule_...(nb, path)``. It gives a list of complaints: which cell, what is wrong, what to
do. ``test_house_rules.py`` shows every rule a notebook that breaks it.
"""

import ast
import copy
import json
import re
import statistics
import symtable
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import mistune
import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat import NotebookNode

from helpers import quiz
from publish import badges
from publish.lesson import slug
from tests import measured
from tests.execute import normalise

CLAIMS = {
    "01_one_to_many": ["L01", "L02", "L11", "L19"],
    "02_pixel_by_pixel": ["L03", "L04", "L05", "L06", "L07", "L08", "L09"],
    "03_pixel_independence": ["L10", "L11", "L12"],
    "04_random_vector": ["L13", "L14", "L15", "L16"],
    "05_vae": ["L17", "L18"],
    "06_flow": ["L20", "L21", "L22"],
    "07_diffusion": ["L23", "L24"],
    "08_gan": ["L25", "L26", "L27", "L28"],
    "09_comparison": ["L14", "L29"],
    "10_gan_as_plug_in": ["L31"],
    "11_latent_diffusion": ["L30"],
    "12_homework_6": ["L32"],
}
COURSE = [
    "00_start_here",
    "01_one_to_many",
    "02_pixel_by_pixel",
    "03_pixel_independence",
    "04_random_vector",
    "05_vae",
    "06_flow",
    "07_diffusion",
    "08_gan",
    "09_comparison",
    "10_gan_as_plug_in",
    "11_latent_diffusion",
    "12_homework_6",
    "13_in_use",
]
ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
COUNTED = re.compile(r"\b(rows|columns), from (above|the (top|left))|^(rows|columns|above)[:,]", re.IGNORECASE)
RANDOM_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8}")
MACHINE_PATH = re.compile(r"(?<![\w.-])/(?:home|work|Users)/(?!me\b)\S*|\bC:\\\S*")  # /home/me is an example
SHELL = re.compile(r"^\s*(!(?!=)|%%(bash|sh|script|cmd)\b|%(pip|conda|mamba|sx|system)\b)|=\s*!(?!=)", re.MULTILINE)
MAGIC = re.compile(r"^%.*$", re.MULTILINE)
MATH = re.compile(r"\$\$?[^$]*\$\$?")
BASE64 = re.compile(r"base64,[A-Za-z0-9+/=\s]+")
SOURCE = re.compile(
    r"\d{4}\.\d{4,5}|[a-z-]+/\d{7}|ISBN"
    r"|NeurIPS|NIPS|ICML|ICLR|CVPR|ICCV|ECCV|AAAI|AISTATS|SIGGRAPH|JMLR|TMLR|IEEE|ACM"
    r"|Nature|Science|Journal|Proceedings|Transactions|Annals|Press"
)
STUBS = {"exercise", "workshop"}  # tags of cells in which the student writes
ANONYMOUS = {"lambda", "listcomp", "setcomp", "dictcomp", "genexpr"}
NEAR = 8  # cells before and after a number in which its output stands
TORCH = {"torch", "torchmetrics", "torchvision"}  # importing any of them imports torch

markdown = mistune.create_markdown(escape=False, plugins=["table", "math"])


@lru_cache
def rendered(text: str) -> BeautifulSoup:
    """Markdown as a tree of HTML, so that a picture is found however it was written."""
    return BeautifulSoup(markdown(text), "html.parser")


@lru_cache
def read(path: Path) -> NotebookNode:
    """The notebook as it is in the file, without buttons of a host; ``nbformat.read`` would repair it first."""
    return badges.without(nbformat.v4.reads(path.read_text(encoding="utf-8")))


def code_cells(nb: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def markdown_cells(nb: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in nb.cells if cell.cell_type == "markdown"]


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def is_stub(cell: NotebookNode) -> bool:
    """Whether the student writes here. The solution of a step of a workshop has the tag of the workshop too."""
    return bool(STUBS & {*tags(cell)}) and "solution" not in tags(cell)


def python(cell: NotebookNode) -> str:
    """The source of a code cell without its magics."""
    return MAGIC.sub("", cell.source)


def parsed(cell: NotebookNode) -> ast.Module:
    return ast.parse(python(cell), filename=f"cell {cell.id}")


def shown(output: NotebookNode, mimetype: str) -> str:
    """What an output holds of one type, without the bytes of its pictures."""
    return BASE64.sub("base64,", output.get("data", {}).get(mimetype, ""))


def size(cell: NotebookNode) -> int:
    """Lines of a cell that are not blank."""
    return sum(bool(line.strip()) for line in cell.source.splitlines())


# ---- The file ----


def rule_format(nb: NotebookNode, path: Path) -> list[str]:
    complaints = [
        f"{path.name}: not valid: {error.message[:200]} at {'/'.join(map(str, error.absolute_path))}"
        for error in nbformat.validator.iter_validate(nb)
    ]
    if (nb.nbformat, nb.nbformat_minor) < (4, 5):
        complaints.append(f"{path.name}: format {nb.nbformat}.{nb.nbformat_minor}; save it as 4.5 or later")
    if nb.metadata.get("kernelspec", {}).get("name") != "python3":
        complaints.append(f"{path.name}: the kernelspec must be python3; `make run` sets it")
    if "widgets" in nb.metadata:
        complaints.append(f"{path.name}: remove metadata.widgets; `make run` does, and GitHub cannot show it")
    if len(json.dumps(nb, ensure_ascii=False, indent=1).encode()) >= 1_000_000:
        complaints.append(f"{path.name}: 1 MB or more; show fewer or smaller pictures")
    return complaints


def rule_ids(nb: NotebookNode, path: Path) -> list[str]:
    ids = [cell.get("id", "") for cell in nb.cells]
    complaints = [f"{id}: {ids.count(id)} cells have this id; rename one" for id in sorted({*ids}) if ids.count(id) > 1]
    for id in ids:
        if not SLUG.fullmatch(id) or RANDOM_ID.fullmatch(id):
            complaints.append(f"{id}: not a readable id; name what the cell does, such as predict-mean-picture")
    return complaints


def rule_portable(nb: NotebookNode, path: Path) -> list[str]:
    complaints = []
    for cell in nb.cells:
        outputs = cell.get("outputs", [])
        texts = [MATH.sub("", cell.source) if cell.cell_type == "markdown" else cell.source]
        texts += [output.get("text", "") for output in outputs]
        texts += [shown(output, mimetype) for output in outputs for mimetype in ("text/plain", "text/html")]
        for found in MACHINE_PATH.finditer("\n".join(texts)):
            complaints.append(
                f"{cell.id}: {found[0]!r} exists on one machine only; use a relative path, or /home/me in an example"
            )
        if cell.cell_type == "code" and SHELL.search(cell.source):
            complaints.append(f"{cell.id}: no shell and no installing in a lesson; say in README.md what is needed")
    return complaints


def rule_executed(nb: NotebookNode, path: Path) -> list[str]:
    return [
        f"{cell.id}: execution count {cell.execution_count} instead of {count}; commit what `make run` writes"
        for count, cell in enumerate(code_cells(nb), start=1)
        if cell.execution_count != count
    ]


def rule_normalised(nb: NotebookNode, path: Path) -> list[str]:
    clean = copy.deepcopy(nb)
    normalise(clean)
    complaints = [
        f"{cell.id}: its outputs or metadata hold traces of one run; commit what `make run` writes"
        for cell, clean_cell in zip(nb.cells, clean.cells, strict=True)
        if (cell.metadata, cell.get("outputs")) != (clean_cell.metadata, clean_cell.get("outputs"))
    ]
    if nb.metadata != clean.metadata:
        complaints.append(f"{path.name}: its metadata hold traces of one machine; commit what `make run` writes")
    return complaints


# ---- The text ----


def rule_headings(nb: NotebookNode, path: Path) -> list[str]:
    complaints = []
    previous = 0
    for index, cell in enumerate(nb.cells):
        if cell.cell_type != "markdown":
            continue
        for heading in rendered(cell.source).find_all(re.compile("^h[1-6]$")):
            level = int(heading.name[1])
            if level == 1 and (index > 0 or previous):
                complaints.append(f"{cell.id}: a second title, {heading.text!r}; make it ## or lower")
            if level > previous + 1:
                complaints.append(f"{cell.id}: {heading.text!r} skips a level; make it level {previous + 1}")
            previous = level
    return complaints


def rule_first_cell(nb: NotebookNode, path: Path) -> list[str]:
    first = nb.cells[0]
    if first.cell_type != "markdown" or not rendered(first.source).find("h1"):
        return [f"{first.id}: the first cell must be markdown and hold the title, as `# ...`"]
    needed = ["You need", "You will be able to", "minutes"]
    return [f"{first.id}: say {words!r} in the first cell" for words in needed if words not in first.source]


def rule_closing(nb: NotebookNode, path: Path) -> list[str]:
    last = nb.cells[-1]
    if last.cell_type != "markdown" or last.id != "closing":
        return [f"{last.id}: the last cell must be markdown with the id closing"]
    complaints = []
    tree = rendered(last.source)
    if "Three lines to remember" not in last.source:
        complaints.append("closing: add 'Three lines to remember'")
    if not any("繁體中文" in table.text for table in tree.find_all("table")):
        complaints.append("closing: add a table of the terms with a column 繁體中文")
    if not SOURCE.search(last.source.partition("References")[2]):
        complaints.append("closing: add 'References', with an arXiv id, an ISBN or where it was published")
    following = next_notebooks(path)
    if following and not any(Path(link.get("href", "")).name in following for link in tree.find_all("a")):
        complaints.append(f"closing: link to the next notebook, {following[0]}")
    return complaints


def next_notebooks(path: Path) -> list[str]:
    """The files that may count as the next notebook: the next of the course, and the next that is written."""
    later = [f"{name}.ipynb" for name in COURSE if name > path.stem]
    written = [name for name in later if (path.parent / name).exists()]
    return [*later[:1], *written[:1]] if written else later


def rule_length(nb: NotebookNode, path: Path) -> list[str]:
    complaints = []
    cells = [cell for cell in code_cells(nb) if "quiz" not in tags(cell)]
    lines = [size(cell) for cell in cells if "solution" not in tags(cell)]
    words = sum(len(re.findall(r"\S*\w\S*", cell.source)) for cell in markdown_cells(nb))
    fewest = 500 if path.stem == "00_start_here" else 800
    if len(cells) > 42:
        complaints.append(f"{path.name}: {len(cells)} code cells; 42 at most")
    if not fewest <= words <= 2500:
        complaints.append(f"{path.name}: {words} words of markdown; between {fewest} and 2500")
    if statistics.median(lines) > 6:
        complaints.append(f"{path.name}: the median code cell has {statistics.median(lines):g} lines; 6 at most")
    for cell in cells:
        if size(cell) > 40:
            complaints.append(f"{cell.id}: {size(cell)} lines; split it, 40 at most")
    return complaints


def rule_alt_text(nb: NotebookNode, path: Path) -> list[str]:
    complaints = []
    for cell in nb.cells:
        trees = [rendered(cell.source)] if cell.cell_type == "markdown" else []
        for output in cell.get("outputs", []):
            trees.append(BeautifulSoup(shown(output, "text/html"), "html.parser"))
            if any(mimetype.startswith("image/") for mimetype in output.get("data", {})):
                complaints.append(f"{cell.id}: a picture without alt text; show it with helpers.figures.show")
        for picture in (picture for tree in trees for picture in tree.find_all("img")):
            if not picture.get("alt", "").strip():
                complaints.append(f"{cell.id}: a picture with empty alt text; say what there is to see")
    return complaints


def rule_grids(nb: NotebookNode, path: Path) -> list[str]:
    """What rows and columns of pictures mean stands in the figure. That rows have labels, ``figures.show`` sees to."""
    complaints = []
    for cell in nb.cells:
        said = [cell.source, *(output.get("text", "") for output in cell.get("outputs", []))]
        said += [picture.get("alt", "") for picture in pictures_of(cell)]
        if any(COUNTED.search(text) for text in said):
            complaints.append(f"{cell.id}: rows told in words; label them: figures.show({{label: pictures, ...}}, ...)")
    for cell in code_cells(nb):
        for call in (node for node in ast.walk(parsed(cell)) if isinstance(node, ast.Call)):
            name, named = ast.unparse(call.func).rpartition(".")[2], {keyword.arg for keyword in call.keywords}
            joined = bool(call.args) and ast.unparse(call.args[0]).startswith(("torch.cat(", "torch.stack("))
            if name == "make_grid":
                complaints.append(f"{cell.id}: a grid without labels; show it with helpers.figures.show")
            if (name == "crowd" and joined) or (name == "show" and joined and "columns" not in named):
                complaints.append(
                    f"{cell.id}: pictures of several kinds; give {{label: pictures}}, or label the columns"
                )
    return complaints


def pictures_of(cell: NotebookNode) -> list:
    """The pictures in the outputs of a cell, as elements of a page."""
    trees = (BeautifulSoup(shown(output, "text/html"), "html.parser") for output in cell.get("outputs", []))
    return [picture for tree in trees for picture in tree.find_all("img")]


def rule_links(nb: NotebookNode, path: Path) -> list[str]:
    complaints = []
    for cell in markdown_cells(nb):
        tree = rendered(cell.source)
        complaints += [f"{cell.id}: {link} leads nowhere" for link in broken_links(tree, path.parent)]
        if "click here" in tree.text.lower():
            complaints.append(f"{cell.id}: 'click here' says nothing out of context; name what the link leads to")
    return complaints


def broken_links(tree: BeautifulSoup, folder: Path) -> list[str]:
    """Relative links and pictures without a file. Notebooks that the course plans count as there."""
    targets = [link["href"] for link in tree.find_all("a", href=True)]
    targets += [picture["src"] for picture in tree.find_all("img", src=True)]
    planned = {ROOT / "notebooks" / f"{name}.ipynb" for name in COURSE}
    broken = []
    for target in targets:
        url = urlsplit(target)
        if url.scheme or url.netloc or not url.path:
            continue
        file = (folder / unquote(url.path)).resolve()
        there = file.is_relative_to(ROOT) and (file.exists() or file in planned)
        if there and url.fragment and file.suffix == ".md":
            there = unquote(url.fragment) in headings_of(file)
        if not there:
            broken.append(target)
    return broken


@lru_cache
def headings_of(document: Path) -> set[str]:
    """The headings of a Markdown file, as an address calls them."""
    found = rendered(document.read_text(encoding="utf-8")).find_all(re.compile("^h[1-6]$"))
    return {slug(heading.get_text()) for heading in found}


def rule_numbers(nb: NotebookNode, path: Path) -> list[str]:
    unmeasured = numbers_against(nb)
    return [
        f"{cell.id}: {complaint}"
        for index, cell in enumerate(nb.cells)
        for complaint in unmeasured(
            prose_of(cell), cell.metadata.get("numbers", {}), nb.cells[max(0, index - NEAR) : index + NEAR + 1]
        )
    ]


def prose_of(cell: NotebookNode) -> str:
    """The text of a cell; of code, what it says in words."""
    return measured.prose(cell.source) if cell.cell_type == "markdown" else measured.typed(python(cell))


def numbers_against(nb: NotebookNode) -> Callable[..., list[str]]:
    """Gives ``unmeasured(text, marks, near=nb.cells)``: what is wrong with the numbers of a text about a notebook."""
    printed = measured.outputs(nb)
    coded = set().union(*(measured.constants(python(cell)) for cell in code_cells(nb)))

    def unmeasured(text: str, marks: Mapping[str, str], near: list[NotebookNode] = nb.cells) -> list[str]:
        known = [printed[cell.id] for cell in near if cell.id in printed]
        return measured.complaints(text, marks, known, coded, lambda name: quotable(name) if name else printed)

    return unmeasured


@lru_cache
def quotable(name: str) -> Mapping[str, str]:
    """What each cell of a notebook has printed, by id; of ``"data"``, what stands in its files, by name."""
    if name != "data":
        return measured.outputs(read(ROOT / "notebooks" / f"{name}.ipynb"))
    return {
        file.name: file.read_text(encoding="utf-8")
        for kind in ("md", "json")
        for file in (ROOT / name).glob(f"*.{kind}")
    }


# ---- The code ----


def rule_setup(nb: NotebookNode, path: Path) -> list[str]:
    first = code_cells(nb)[0]
    if first.id != "setup":
        return [f"{first.id}: the first code cell must be the setup, with the id setup"]
    complaints = []
    if len(first.source.strip().splitlines()) > 8:
        complaints.append("setup: more than 8 lines; import the rest where it is first needed")
    lines = imported(first)
    if "helpers" not in lines:
        complaints.append("setup: import helpers here")
    elif any(lines["helpers"] > lines[name] for name in TORCH & lines.keys()):
        complaints.append("setup: import helpers before torch; it sets how the threads of torch wait")
    return complaints


def imported(cell: NotebookNode) -> dict[str, int]:
    """The packages that a cell imports, each with the line of its first import."""
    lines = {}
    for node in ast.walk(parsed(cell)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            package = name.partition(".")[0]
            lines[package] = min(node.lineno, lines.get(package, node.lineno))
    return lines


def rule_leaks(nb: NotebookNode, path: Path) -> list[str]:
    return [
        f"{id}: {function}() uses the notebook's {name!r}; pass it in, or make it an UPPER_CASE constant"
        for id, function, name in leaked_globals({cell.id: python(cell) for cell in code_cells(nb)})
    ]


def leaked_globals(cells: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Variables of a notebook that its functions use without being given them.

    Imports, definitions, builtins and UPPER_CASE constants may be used freely. A default value or a decorator
    belongs to the notebook, not to the function; a lambda or a comprehension belongs to what it stands in.

    Args:
        cells: the Python source of each code cell, by id.

    Returns:
        ``(cell id, function, variable)``, in the order of the cells. ``global`` always counts as a leak.
    """
    tables = {id: symtable.symtable(source, f"cell {id}", "exec") for id, source in cells.items()}
    symbols = [symbol for table in tables.values() for symbol in table.get_symbols()]
    defined = {symbol.get_name() for symbol in symbols if symbol.is_imported() or symbol.is_namespace()}
    assigned = {symbol.get_name() for symbol in symbols if symbol.is_assigned()}
    variables = {name for name in assigned - defined if not name.isupper()}
    return [
        (id, function, symbol.get_name())
        for id, table in tables.items()
        for function, symbol in global_symbols(table)
        if symbol.get_name() in variables or symbol.is_declared_global()
    ]


def global_symbols(table: symtable.SymbolTable, function: str = "") -> Iterator[tuple[str, symtable.Symbol]]:
    """Every name that a ``def`` in this scope takes from the module, after the name of that ``def``."""
    if table.get_type() == "function" and table.get_name() not in ANONYMOUS:
        function = table.get_name()
    if function:
        yield from ((function, symbol) for symbol in table.get_symbols() if symbol.is_global())
    for child in table.get_children():
        yield from global_symbols(child, function)


def rule_same_code(nb: NotebookNode, path: Path) -> list[str]:
    taught = helper_definitions()
    return [
        f"{cell.id}: {name} differs from {name} in helpers; copy one to the other, or give it another name"
        for cell in code_cells(nb)
        if not is_stub(cell)
        for name, code in definitions(python(cell)).items()
        if name in taught and code not in taught[name]
    ]


class Bare(ast.NodeTransformer):
    """Takes docstrings and annotations out of code: what is left is what it does."""

    def visit(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
            if node.value is not None:
                return ast.Assign([node.target], node.value)
        return node


def definitions(source: str) -> dict[str, str]:
    """The functions and classes at the top of a source, by name, as texts that are equal if the code is."""
    return {
        node.name: ast.dump(Bare().visit(node))
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }


@lru_cache
def helper_definitions() -> dict[str, set[str]]:
    """What helpers define. Two worlds may both have a ``draw``, so each name has a set of codes.

    The checks of exercises are left out: ``checks.kl`` is no second ``kl``, it checks one.
    """
    taught = {}
    for path in sorted({*(ROOT / "helpers").rglob("*.py")} - {*(ROOT / "helpers" / "checks").rglob("*.py")}):
        for name, code in definitions(path.read_text(encoding="utf-8")).items():
            taught.setdefault(name, set()).add(code)
    return taught


# ---- The parts of a lesson ----


def rule_claims(nb: NotebookNode, path: Path) -> list[str]:
    claims = [cell for cell in code_cells(nb) if "claim" in tags(cell) or cell.id.startswith("claim-")]
    complaints = [complaint for cell in claims for complaint in claim_complaints(cell)]
    made = {cell.id for cell in claims}
    for claim in CLAIMS.get(path.stem, []):
        if f"claim-{claim.lower()}" not in made:
            complaints.append(f"claim-{claim.lower()}: missing; this notebook owes the claim {claim}")
    return complaints


def claim_complaints(cell: NotebookNode) -> list[str]:
    """What is wrong with one claim cell."""
    complaints = [f"{cell.id}: add the tag {tag}" for tag in ("claim", "nbval-check-output") if tag not in tags(cell)]
    if not re.fullmatch(r"claim-l\d\d", cell.id):
        return [*complaints, f"{cell.id}: a claim cell has an id such as claim-l12"]
    if not any(isinstance(node, ast.Assert) for node in ast.walk(parsed(cell))):
        complaints.append(f"{cell.id}: assert the claim before printing it")
    start = f"{cell.id.removeprefix('claim-').upper()} holds: "
    line = printed_line(cell)
    if line is None or not line.startswith(start) or "{" in line:
        complaints.append(f'{cell.id}: end with print("{start}..."), plain text with nothing to fill in')
    elif [output.get("text") for output in cell.outputs] != [f"{line}\n"]:
        complaints.append(f"{cell.id}: its committed output must be the line it prints; run `make run`")
    return complaints


def printed_line(cell: NotebookNode) -> str | None:
    """The text of the print that ends a cell, or None where it is not one plain string."""
    match parsed(cell).body:
        case [*_, ast.Expr(ast.Call(ast.Name("print"), [ast.Constant(str(line))], []))]:
            return line
    return None


def rule_widgets(nb: NotebookNode, path: Path) -> list[str]:
    cells = code_cells(nb)
    complaints = [
        f"{cell.id}: the next code cell must be its static-strip, for readers without a kernel"
        for cell, following in zip(cells, [*cells[1:], None], strict=True)
        if "widget" in tags(cell) and (following is None or "static-strip" not in tags(following))
    ]
    if not any("widget" in tags(cell) for cell in cells) and path.stem != "00_start_here":
        complaints.append(f"{path.name}: add a live widget, in a cell with the tag widget")
    return complaints


def rule_quiz(nb: NotebookNode, path: Path) -> list[str]:
    opening, closing = quiz.opening(path.stem)._repr_html_(), quiz.closing(path.stem).html()
    ids = [cell.id for cell in nb.cells]
    after_setup = ids.index("setup") + 1 if "setup" in ids else 0
    return [
        *quiz_complaints(nb.cells[after_setup], "opening-questions", f'quiz.opening("{path.stem}")', opening),
        *quiz_complaints(nb.cells[-2], "closing-questions", f'quiz.closing("{path.stem}")', closing),
    ]


def quiz_complaints(cell: NotebookNode, id: str, call: str, html: str) -> list[str]:
    """What is wrong with the cell that stands where the one with this id, call and output should."""
    if cell.id != id:
        return [f"{cell.id}: {id} should stand here, after the setup or before the closing"]
    complaints = [] if "quiz" in tags(cell) else [f"{id}: add the tag quiz"]
    if cell.cell_type != "code" or cell.source != f"from helpers import quiz\n\n{call}":
        complaints.append(f"{id}: import quiz from helpers, and end with {call}")
    elif [output.get("data", {}).get("text/html") for output in cell.outputs] != [html]:
        complaints.append(f"{id}: its committed output is not what the questions are now; run `make run`")
    return complaints


def rule_exercises(nb: NotebookNode, path: Path) -> list[str]:
    cells = code_cells(nb)
    complaints = []
    for index, cell in enumerate(cells):
        if is_stub(cell):
            complaints += exercise_complaints(cell, cells[index + 1 : index + 2])
        if "solution" in tags(cell) and not cell.metadata.get("jupyter", {}).get("source_hidden"):
            complaints.append(f"{cell.id}: set jupyter.source_hidden to true: nobody wants to see the solution at once")
    count = sum(map(is_stub, cells))
    fewest = 1 if path.stem == "00_start_here" else 2
    if not fewest <= count <= 4:
        complaints.append(f"{path.name}: {count} cells with the tag exercise or workshop; between {fewest} and 4")
    return complaints


def exercise_complaints(stub: NotebookNode, following: list[NotebookNode]) -> list[str]:
    """What is wrong with one exercise. It counts as solved by the id of the cell in which the check passes."""
    complaints, kind = [], "workshop" if "workshop" in tags(stub) else "exercise"
    if not stub.id.startswith(f"{kind}-"):
        complaints.append(f"{stub.id}: the id of an {kind} begins with {kind}-, or it is never counted as solved")
    if not calls_check(stub):
        complaints.append(f"{stub.id}: call checks.<something> here")
    if not following or "solution" not in tags(following[0]):
        complaints.append(f"{stub.id}: the next code cell must have the tag solution")
    elif following[0].id.startswith(f"{kind}-"):
        complaints.append(f"{following[0].id}: the id of a solution must not begin with {kind}-")
    elif kind == "workshop" and kind not in tags(following[0]):
        complaints.append(f"{following[0].id}: the solution of a workshop has the tag workshop too")
    return complaints


def calls_check(cell: NotebookNode) -> bool:
    """Whether a cell calls something in ``checks``, or hands it to a step of a workshop."""
    calls = [node for node in ast.walk(parsed(cell)) if isinstance(node, ast.Call)]
    given = [argument for call in calls if ast.unparse(call.func) == "workshop.step" for argument in call.args]
    return any(ast.unparse(node).startswith("checks.") for node in [*(call.func for call in calls), *given])


# ---- The tests ----

RULES: list[Callable[[NotebookNode, Path], list[str]]] = [
    rule_format,
    rule_ids,
    rule_portable,
    rule_executed,
    rule_normalised,
    rule_headings,
    rule_first_cell,
    rule_closing,
    rule_length,
    rule_alt_text,
    rule_grids,
    rule_links,
    rule_numbers,
    rule_setup,
    rule_leaks,
    rule_same_code,
    rule_claims,
    rule_widgets,
    rule_quiz,
    rule_exercises,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_keeps_the_rule(path, rule):
    complaints = rule(read(path), path)
    assert not complaints, "\n" + "\n".join(complaints)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_on_the_map(path):
    links = rendered((ROOT / "README.md").read_text(encoding="utf-8")).find_all("a")
    assert f"notebooks/{path.name}" in [link.get("href") for link in links], "link to it in README.md"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_in_the_design(path):
    assert path.stem in COURSE


DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md")), ROOT / "data" / "README.md"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_of_a_document_resolve(path):
    tree = rendered(path.read_text(encoding="utf-8"))
    assert not broken_links(tree, path.parent)
    assert all(picture.get("alt") for picture in tree.find_all("img"))


def test_a_link_to_a_heading_that_is_not_there_is_found():
    tree = rendered("[a](docs/judge.md#how-it-works) [b](docs/judge.md#how-it-worked) [c](README.md#the-judge)")
    assert broken_links(tree, ROOT) == ["docs/judge.md#how-it-worked", "README.md#the-judge"]


def test_the_readme_is_short():
    text = badges.of_readme((ROOT / "README.md").read_text(encoding="utf-8"), None)
    assert len(re.findall(r"\S*\w\S*", text)) <= 900


def test_every_document_is_found_from_the_readme():
    links = {
        link["href"] for link in rendered((ROOT / "README.md").read_text(encoding="utf-8")).find_all("a", href=True)
    }
    assert {path.relative_to(ROOT).as_posix() for path in DOCUMENTS} - {"README.md"} <= links
