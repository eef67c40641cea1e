"""Shows each rule of the house a lesson that keeps it and lessons that break it once."""

import textwrap

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers import quiz
from tests import test_notebooks as house
from tests.execute import KERNELSPEC

PATH = house.ROOT / "notebooks" / "01_one_to_many.ipynb"  # the rules look at the name; the file need not exist
PICTURE = '<figure><img alt="Four dogs" src="data:image/png;base64,iVBOR+/home/w0KGg="></figure>'
INTRODUCTION = """# One to many

**You need** Python. **You will be able to** count answers.

Time: 20 minutes.

```python
# a comment, not a second title
```
"""
CLOSING = """## What stays

Three lines to remember: one, two, three.

| English | 繁體中文 |
|---|---|
| prompt | 提示 |

References: Ho, Jain and Abbeel, *Denoising diffusion probabilistic models*, 2020, arXiv 2006.11239.

Next: [pixel by pixel](02_pixel_by_pixel.ipynb), or [the dependencies](../pyproject.toml).
"""


def claim(number):
    line = f"L{number} holds: one prompt has many answers."
    printed = new_output("stream", name="stdout", text=f"{line}\n")
    return code(f"claim-l{number}", f'assert 2 > 1\nprint("{line}")', printed, tags=["claim", "nbval-check-output"])


def code(id, source, *outputs, **metadata):
    return new_code_cell(source, id=id, outputs=list(outputs), metadata=metadata)


def questions(which, html):
    source = f'from helpers import quiz\n\nquiz.{which}("{PATH.stem}")'
    return code(f"{which}-questions", source, new_output("execute_result", {"text/html": html}), tags=["quiz"])


def lesson():
    """A notebook that keeps every rule."""
    hidden = {"tags": ["solution"], "jupyter": {"source_hidden": True}}
    figure = new_output("display_data", {"text/html": PICTURE, "text/plain": "<figure>"})
    nb = new_notebook(
        metadata={"kernelspec": KERNELSPEC, "language_info": {"name": "python"}},
        cells=[
            new_markdown_cell(INTRODUCTION, id="introduction"),
            code("setup", "from helpers import checks, dogs\nimport torch\n\nSEED = 1\nrng = torch.Generator()"),
            questions("opening", quiz.opening(PATH.stem)._repr_html_()),
            new_markdown_cell("## Many\n\n" + "word " * 800, id="prose"),
            code(
                "count-answers",
                "def count(captions):\n    return SEED + len(captions)\n\n\ncount([])",
                figure,
            ),
            code("explore", "dogs.explore()", tags=["widget"]),
            code("explore-strip", "dogs.strip()", figure, tags=["static-strip"]),
            *[claim(number) for number in ("01", "02", "11", "19")],
            new_markdown_cell("### Exercise", id="exercise-text"),
            code("exercise-double", "def double(x):\n    ...\n\n\nchecks.double(double)", tags=["exercise"]),
            code("solution-double", "def double(x):\n    return 2 * x", **hidden),
            code("exercise-triple", "def triple(x):\n    ...\n\n\nchecks.triple(triple)", tags=["exercise"]),
            code("solution-triple", "def triple(x):\n    return 3 * x", **hidden),
            questions("closing", quiz.closing(PATH.stem).html()),
            new_markdown_cell(CLOSING, id="closing"),
        ],
    )
    for count, cell in enumerate(house.code_cells(nb), start=1):
        cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
    return nb


def find(nb, id):
    return next(cell for cell in nb.cells if cell.id == id)


def replace(id, old, new):
    """A change: other text in one cell."""

    def change(nb):
        cell = find(nb, id)
        assert old in cell.source
        cell.source = cell.source.replace(old, new, 1)

    return change


def append(id, text):
    return lambda nb: replace(id, find(nb, id).source, find(nb, id).source + text)(nb)


def rename(id, new):
    return lambda nb: find(nb, id).update(id=new)


def remove(id):
    return lambda nb: nb.cells.remove(find(nb, id))


def insert(id, *cells):
    """A change: these cells stand before the cell with this id."""

    def change(nb):
        index = nb.cells.index(find(nb, id))
        nb.cells[index:index] = cells

    return change


def metadata(id, **new):
    return lambda nb: find(nb, id).metadata.update(new)


def outputs(id, *new):
    return lambda nb: find(nb, id).update(outputs=list(new))


def html(text):
    return new_output("display_data", {"text/html": text})


def stdout(text):
    return new_output("stream", name="stdout", text=text)


def long_cells(count, lines):
    return [code(f"long-{number}", "\n".join(["1"] * lines)) for number in range(count)]


# (rule, change that breaks it, what the complaint must say)
VIOLATIONS = {
    "invalid": (house.rule_format, lambda nb: nb.cells[1].pop("outputs"), "'outputs' is a required property"),
    "no id": (house.rule_format, lambda nb: nb.cells[1].pop("id"), "'id' is a required property"),
    "old format": (house.rule_format, lambda nb: nb.update(nbformat_minor=4), "save it as 4.5"),
    "kernelspec": (
        house.rule_format,
        lambda nb: nb.metadata.kernelspec.update(name="conda-me"),
        "must be python3",
    ),
    "widget state": (house.rule_format, lambda nb: nb.metadata.update(widgets={}), "remove metadata.widgets"),
    "heavy": (house.rule_format, outputs("explore-strip", html("x" * 1_000_000)), "1 MB"),
    "double id": (house.rule_ids, rename("explore", "setup"), "setup: 2 cells have this id"),
    "id in capitals": (house.rule_ids, rename("explore", "Explore"), "Explore: not a readable id"),
    "id of nbformat": (house.rule_ids, rename("explore", "3f2a9c01"), "3f2a9c01: not a readable id"),
    "id of JupyterLab": (
        house.rule_ids,
        rename("explore", "3f2a9c01-12ab-4cde-8f00-0123456789ab"),
        "readable",
    ),
    "home in code": (house.rule_portable, append("setup", "\nopen('/home/ada/x')"), 'setup: "/home/ada/x\')"'),
    "drive in prose": (house.rule_portable, append("prose", r" see C:\Users\me"), "prose: "),
    "path in output": (house.rule_portable, outputs("explore", stdout("saved in /Users/ada\n")), "explore: "),
    "path in page": (house.rule_portable, outputs("explore", html("<p>/work/x</p>")), "explore: "),
    "shell": (house.rule_portable, append("setup", "\n!ls"), "setup: no shell"),
    "shell to variable": (house.rule_portable, append("setup", "\nfiles = !ls"), "setup: no shell"),
    "installing": (house.rule_portable, append("setup", "\n%pip install torch"), "setup: no shell"),
    "not executed": (
        house.rule_executed,
        lambda nb: find(nb, "setup").update(execution_count=None),
        "setup: ",
    ),
    "out of order": (
        house.rule_executed,
        lambda nb: find(nb, "explore").update(execution_count=9),
        "explore: ",
    ),
    "timing": (house.rule_normalised, metadata("setup", execution={"started": "now"}), "setup: "),
    "dead widget": (
        house.rule_normalised,
        outputs("explore", new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}})),
        "explore: ",
    ),
    "version": (
        house.rule_normalised,
        lambda nb: nb.metadata.language_info.update(version="3.12.1"),
        "01_one_to_many.ipynb: ",
    ),
    "second title": (house.rule_headings, append("prose", "\n\n# Again"), "prose: a second title, 'Again'"),
    "second title underlined": (
        house.rule_headings,
        append("prose", "\n\nAgain\n====="),
        "prose: a second title",
    ),
    "skipped level": (house.rule_headings, append("prose", "\n\n#### Deep"), "prose: 'Deep' skips a level"),
    "skipped over cells": (
        house.rule_headings,
        replace("prose", "## Many", ""),
        "exercise-text: 'Exercise' skips",
    ),
    "no title": (house.rule_first_cell, replace("introduction", "# One to many", "One"), "introduction: "),
    "no promise": (
        house.rule_first_cell,
        replace("introduction", "You will", "Will you"),
        "introduction: say",
    ),
    "no needs": (house.rule_first_cell, replace("introduction", "You need", "Needed:"), "introduction: say"),
    "no time": (
        house.rule_first_cell,
        replace("introduction", "minutes", "while"),
        "introduction: say 'minutes'",
    ),
    "code after closing": (
        house.rule_closing,
        lambda nb: nb.cells.append(code("more", "1")),
        "more: the last cell",
    ),
    "no three lines": (house.rule_closing, replace("closing", "Three lines", "Lines"), "closing: add 'Three"),
    "no terms": (house.rule_closing, replace("closing", "|---|---|", ""), "closing: add a table"),
    "no references": (
        house.rule_closing,
        replace("closing", "References", "Read"),
        "closing: add 'References'",
    ),
    "vague reference": (
        house.rule_closing,
        replace("closing", "arXiv 2006.11239", "online"),
        "closing: add 'Ref",
    ),
    "no next": (
        house.rule_closing,
        replace("closing", "02_pixel_by_pixel", "01_one_to_many"),
        "closing: link to",
    ),
    "many cells": (house.rule_length, insert("closing", *long_cells(40, 1)), "code cells; 42 at most"),
    "few words": (house.rule_length, replace("prose", "word " * 100, ""), "words of markdown; between 800"),
    "many words": (house.rule_length, append("prose", "word " * 1800), "words of markdown; between 800"),
    "long cell": (house.rule_length, append("solution-double", "\n1" * 39), "solution-double: 41 lines"),
    "long median": (house.rule_length, insert("closing", *long_cells(15, 7)), "median code cell has 7 lines"),
    "empty alt": (
        house.rule_alt_text,
        append("prose", "\n\n![](../pyproject.toml)"),
        "prose: a picture with",
    ),
    "no alt in html": (
        house.rule_alt_text,
        append("prose", '\n\n<img src="x.png">'),
        "prose: a picture with",
    ),
    "no alt in output": (
        house.rule_alt_text,
        outputs("explore", html("<img src='x'>")),
        "explore: a picture with",
    ),
    "blank alt in output": (
        house.rule_alt_text,
        outputs("explore", html("<img alt=' '>")),
        "explore: a picture with",
    ),
    "rows told in print": (
        house.rule_grids,
        outputs("explore", stdout("rows, from above: x, y")),
        "explore: rows told in",
    ),
    "rows told in a caption": (
        house.rule_grids,
        append("explore", '\ndogs.show(x, caption="after 3 moves; rows, from above: a, b")'),
        "explore: rows told in words",
    ),
    "rows told in alt": (
        house.rule_grids,
        outputs("explore", html("<img alt='Above, dogs; below, noise' src='x'>")),
        "explore: rows told in words",
    ),
    "several kinds in a row": (
        house.rule_grids,
        append("explore", "\nfigures.show(torch.cat([real, drawn]), alt='x')"),
        "explore: pictures of several kinds",
    ),
    "several kinds in a crowd": (
        house.rule_grids,
        append("explore", "\nfigures.crowd(torch.stack([real, drawn]), alt='x', columns=4)"),
        "explore: pictures of several kinds",
    ),
    "grid by hand": (house.rule_grids, append("explore", "\nx = utils.make_grid(y)"), "explore: a grid without labels"),
    "bare picture": (
        house.rule_alt_text,
        outputs("explore", new_output("display_data", {"image/png": "iVBO"})),
        "explore: a picture without alt text; show it with",
    ),
    "dead link": (house.rule_links, append("prose", " [here](absent.md)"), "prose: absent.md leads nowhere"),
    "dead picture": (house.rule_links, append("prose", " ![dogs](absent.png)"), "prose: absent.png leads"),
    "dead link in html": (
        house.rule_links,
        append("prose", " <a href='absent.md'>x</a>"),
        "prose: absent.md",
    ),
    "link out": (house.rule_links, append("prose", " [up](../../x)"), "prose: ../../x leads nowhere"),
    "link from root": (house.rule_links, append("prose", " [up](/etc)"), "prose: /etc leads nowhere"),
    "misspelt notebook": (house.rule_links, append("prose", " [vae](05_vea.ipynb)"), "prose: 05_vea.ipynb"),
    "click here": (house.rule_links, append("prose", " Click [here](#many)."), "prose: 'click here'"),
    "stale number": (house.rule_numbers, append("prose", " Of them 39 % are valid."), "prose: '39 %' in"),
    "stale alt text": (
        house.rule_numbers,
        append("explore-strip", "\nalt = 'A wall of 192 dogs'"),
        "explore-strip: '192' in",
    ),
    "mark without its number": (
        house.rule_numbers,
        metadata("prose", numbers={"39 %": "a guess"}),
        "prose: '39 %' is marked",
    ),
    "no setup": (house.rule_setup, rename("setup", "start"), "start: the first code cell"),
    "late setup": (house.rule_setup, insert("setup", code("early", "1")), "early: the first code cell"),
    "long setup": (house.rule_setup, append("setup", "\n1\n2\n3\n4"), "setup: more than 8 lines"),
    "no helpers": (
        house.rule_setup,
        replace("setup", "from helpers import", "from help import"),
        "setup: import",
    ),
    "torch first": (
        house.rule_setup,
        lambda nb: find(nb, "setup").update(source="import torch\nimport helpers"),
        "th",
    ),
    "torchvision first": (
        house.rule_setup,
        lambda nb: find(nb, "setup").update(source="from torchvision import io\nfrom helpers import dogs"),
        "setup: import helpers before torch",
    ),
    "leak": (
        house.rule_leaks,
        replace("count-answers", "SEED", "rng"),
        "count-answers: count() uses the notebook's 'rng'",
    ),
    "other code": (
        house.rule_same_code,
        insert("closing", code("language", "class Language:\n    pass")),
        "language: Language differs from Language in helpers",
    ),
    "claim owed": (house.rule_claims, remove("claim-l11"), "claim-l11: missing"),
    "claim untagged": (house.rule_claims, metadata("claim-l01", tags=[]), "claim-l01: add the tag claim"),
    "claim unchecked": (
        house.rule_claims,
        metadata("claim-l01", tags=["claim"]),
        "add the tag nbval-check-output",
    ),
    "claim misnamed": (
        house.rule_claims,
        rename("claim-l01", "many-answers"),
        "many-answers: a claim cell has an id",
    ),
    "claim not asserted": (
        house.rule_claims,
        replace("claim-l01", "assert ", ""),
        "claim-l01: assert the claim",
    ),
    "claim of another": (house.rule_claims, replace("claim-l01", "L01", "L02"), "claim-l01: end with print"),
    "claim with figures": (
        house.rule_claims,
        replace("claim-l01", '"L01', 'f"L01'),
        "claim-l01: end with print",
    ),
    "claim to fill": (house.rule_claims, replace("claim-l01", "one", "{n}"), "claim-l01: end with print"),
    "claim formatted": (
        house.rule_claims,
        replace("claim-l01", '")', '".upper())'),
        "claim-l01: end with print",
    ),
    "claim not last": (house.rule_claims, append("claim-l01", "\n1"), "claim-l01: end with print"),
    "claim not printed": (house.rule_claims, outputs("claim-l01"), "claim-l01: its committed output"),
    "claim printed otherwise": (
        house.rule_claims,
        outputs("claim-l01", stdout("L01 holds: x\n")),
        "committed output",
    ),
    "no widget": (
        house.rule_widgets,
        metadata("explore", tags=[]),
        "01_one_to_many.ipynb: add a live widget",
    ),
    "no strip": (house.rule_widgets, metadata("explore-strip", tags=[]), "explore: the next code cell"),
    "strip too late": (
        house.rule_widgets,
        insert("explore-strip", code("between", "1")),
        "explore: the next",
    ),
    "no opening questions": (
        house.rule_quiz,
        remove("opening-questions"),
        "prose: opening-questions should stand here",
    ),
    "late closing questions": (
        house.rule_quiz,
        insert("closing", new_markdown_cell("More.", id="more")),
        "more: closing-questions should stand here",
    ),
    "questions untagged": (house.rule_quiz, metadata("closing-questions", tags=[]), "add the tag quiz"),
    "questions of another": (
        house.rule_quiz,
        replace("closing-questions", "01_one", "02_one"),
        'end with quiz.closing("01_one_to_many")',
    ),
    "old questions": (house.rule_quiz, outputs("opening-questions", html("<p>Old</p>")), "what the questions are now"),
    "unchecked exercise": (
        house.rule_exercises,
        replace("exercise-triple", "checks.triple(triple)", ""),
        "exercise-triple: call checks.<something>",
    ),
    "check only in solution": (
        house.rule_exercises,
        lambda nb: [
            replace("exercise-triple", "checks.triple(triple)", "")(nb),
            append("solution-triple", "\n\n\nchecks.triple(triple)")(nb),
        ],
        "exercise-triple: call checks.<something>",
    ),
    "exercise that is never counted": (
        house.rule_exercises,
        rename("exercise-double", "double"),
        "double: the id of an exercise begins with exercise-",
    ),
    "solution that counts": (
        house.rule_exercises,
        rename("solution-double", "exercise-solved"),
        "exercise-solved: the id of a solution",
    ),
    "no solution": (
        house.rule_exercises,
        remove("solution-double"),
        "exercise-double: the next code cell",
    ),
    "late solution": (
        house.rule_exercises,
        insert("solution-triple", code("between", "1")),
        "exercise-triple: the next code cell",
    ),
    "open solution": (
        house.rule_exercises,
        metadata("solution-double", jupyter={}),
        "solution-double: set jupyter",
    ),
    "one exercise": (house.rule_exercises, metadata("exercise-double", tags=[]), "1 cells with the tag exercise"),
}


@pytest.mark.parametrize("rule", house.RULES, ids=lambda rule: rule.__name__)
def test_a_good_lesson_keeps_the_rule(rule):
    assert rule(lesson(), PATH) == []


@pytest.mark.parametrize(("rule", "change", "complaint"), VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_a_violation_is_named(rule, change, complaint):
    nb = lesson()
    change(nb)
    assert any(complaint in said for said in rule(nb, PATH)), rule(nb, PATH)


def test_every_rule_is_shown_a_violation():
    assert {rule for rule, _, _ in VIOLATIONS.values()} == set(house.RULES)
    assert {name for name in vars(house) if name.startswith("rule_")} == {rule.__name__ for rule in house.RULES}


def test_the_start_may_be_shorter_and_have_no_widget_and_one_exercise():
    start = PATH.with_name("00_start_here.ipynb")
    nb = lesson()
    for change in (
        replace("prose", "word " * 250, ""),
        metadata("explore", tags=[]),
        metadata("exercise-double", tags=[]),
    ):
        change(nb)
    for rule in (house.rule_length, house.rule_widgets, house.rule_exercises):
        assert rule(nb, PATH) != []
        assert rule(nb, start) == []


def test_what_only_looks_like_a_violation_is_accepted():
    nb = lesson()
    for change in (
        append(
            "prose",
            " [work](https://example.org/work/a), ../work/b, C:/Users/me/cats, $f:C:\\mathbb{R} \\to \\mathbb{R}$",
        ),
        append("prose", "\n\n```\n# not a title\n```\n\n<details>\n\n### Still level three\n\n</details>"),
        append("setup", "\nassert (SEED\n    != 2)"),
        append("count-answers", "\n%matplotlib inline"),
    ):
        change(nb)
    for rule in (house.rule_portable, house.rule_headings, house.rule_links, house.rule_leaks):
        assert rule(nb, PATH) == []


def test_next_notebook_is_the_next_that_is_written_or_planned(tmp_path):
    first, last = tmp_path / "04_random_vector.ipynb", tmp_path / "13_in_use.ipynb"
    assert house.next_notebooks(first)[:2] == ["05_vae.ipynb", "06_flow.ipynb"]
    assert house.next_notebooks(last) == []
    (tmp_path / "07_diffusion.ipynb").touch()
    assert house.next_notebooks(first) == ["05_vae.ipynb", "07_diffusion.ipynb"]


# ---- Leaked variables ----

LEAKS = {
    "plain": ("def f():\n    return x", [("f", "x")]),
    "method": ("class A:\n    def m(self):\n        return x", [("m", "x")]),
    "nested": ("def f():\n    def g():\n        return x\n    return g", [("g", "x")]),
    "lambda in def": ("def f():\n    return lambda: x", [("f", "x")]),
    "comprehension in def": ("def f(n):\n    return [x for _ in range(n)]", [("f", "x")]),
    "class in def": ("def f():\n    class A:\n        y = x\n    return A", [("f", "x")]),
    "default of inner def": ("def f():\n    def g(a=x):\n        return a\n    return g", [("f", "x")]),
    "attribute": ("def f():\n    return x.y", [("f", "x")]),
    "global": ("def f():\n    global counter\n    counter = 1", [("f", "counter")]),
    "shadowed builtin": ("sum = 3\n\n\ndef f(a):\n    return sum", [("f", "sum")]),
    "loop variable": ("for i in range(3):\n    pass\n\n\ndef f():\n    return i", [("f", "i")]),
    "with": ("with open('a') as file:\n    pass\n\n\ndef f():\n    return file", [("f", "file")]),
    "async": ("async def f():\n    return x", [("f", "x")]),
}
NO_LEAKS = {
    "argument": "def f(x):\n    return x",
    "local": "def f():\n    x = 2\n    return x",
    "closure": "def f(x):\n    def g():\n        return x\n    return g",
    "import": "import math\n\n\ndef f():\n    return math.pi",
    "definition": "def f():\n    return g()\n\n\ndef g():\n    return A\n\n\nclass A:\n    pass",
    "constant": "N_STEPS = 3\n\n\ndef f():\n    return N_STEPS",
    "builtin": "def f(a):\n    return sum(a)",
    "default": "def f(a=x):\n    return a",
    "decorator": "@x.register\ndef f():\n    return 1",
    "annotation": "def f(a: x) -> x:\n    return a",
    "lambda": "f = lambda: x",
    "comprehension": "a = [x for _ in range(3)]",
    "comprehension variable": "def f(a):\n    return [x for x in a]",
    "class body": "class A:\n    y = x",
    "keyword": "def f(a):\n    return dict(x=a)",
    "attribute of argument": "def f(a):\n    return a.x",
}


@pytest.mark.parametrize(("source", "found"), LEAKS.values(), ids=LEAKS.keys())
def test_leaks_are_found(source, found):
    cells = {"given": "x = 1", "made": source}
    assert house.leaked_globals(cells) == [("made", *leak) for leak in found]


@pytest.mark.parametrize("source", NO_LEAKS.values(), ids=NO_LEAKS.keys())
def test_what_is_no_leak_is_accepted(source):
    assert house.leaked_globals({"given": "x = 1", "made": source}) == []


def test_a_leak_is_found_before_the_variable_is_assigned():
    assert house.leaked_globals({"a": "def f():\n    return late", "b": "late = 1"}) == [("a", "f", "late")]


# ---- The same code ----

TAUGHT = '''
@torch.no_grad()
def sample(model: Model, n: int = 4) -> Tensor:
    """Pictures."""
    scale: float = 2.0
    return scale * model(n)  # all at once
'''


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (": Model", "", True),
        (" -> Tensor", "", True),
        ('"""Pictures."""', '"""Draws."""', True),
        ('    """Pictures."""\n', "", True),
        (": float", "", True),
        ("  # all at once", "", True),
        ("n: int = 4", "n: int = 5", False),
        ("scale * model", "model", False),
        ("@torch.no_grad()\n", "", False),
        ("model: Model", "net: Model", False),
    ],
)
def test_code_is_compared_without_docstrings_and_annotations(old, new, same):
    assert old in TAUGHT
    changed = TAUGHT.replace(old, new)
    assert (house.definitions(changed) == house.definitions(TAUGHT)) is same


def test_fields_of_a_dataclass_count_though_their_types_do_not():
    fields = house.definitions("class A:\n    x: int\n    y: int")
    assert fields == house.definitions("class A:\n    x: float\n    y: int")
    assert fields != house.definitions("class A:\n    x: int")


def test_a_check_may_have_the_name_of_what_it_checks():
    checks = sorted((house.ROOT / "helpers" / "checks").glob("*.py"))
    names = {name for path in checks for name in house.definitions(path.read_text(encoding="utf-8"))}
    public = {name for name in names if not name.startswith("_")}
    cells = [code(f"solve-{i}", f"def {name}():\n    return 1") for i, name in enumerate(sorted(public))]
    assert house.rule_same_code(new_notebook(cells=cells), PATH) == []


def test_the_same_code_is_accepted_and_an_exercise_may_differ(monkeypatch):
    monkeypatch.setattr(house, "helper_definitions", lambda: {"sample": {house.definitions(TAUGHT)["sample"], "other"}})
    stub = textwrap.dedent("def sample(model, n=4):\n    ...")
    same, exercise = code("same", TAUGHT), code("stub", stub, tags=["exercise"])
    assert house.rule_same_code(new_notebook(cells=[same, exercise]), PATH) == []
    exercise.metadata.tags = []
    assert len(house.rule_same_code(new_notebook(cells=[same, exercise]), PATH)) == 1
