"""A number in prose that no stored output rounds to is found; years, sizes and marked numbers are left alone."""

import re
import tomllib

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers import quiz
from tests import measured
from tests import test_notebooks as house
from tests.test_teaching import PLANS

PRINTED = {
    "judged": "real      valid  99.5%   sharpness 0.047   FD-dogs 8.50\n"
    "one by one valid  55.7%   sharpness 0.025   FD-dogs 15.74\n"
    "in one go  valid   0.0%   at once   67.8%",
    "bits": "pixels one by one 1,070 bits, the picture at most 102; [2.4, 3.3] and 1e-07; 4 KL 1.6 nats",
}
ELSEWHERE = {"price": "gan  18 minutes\nvae  32 minutes"}
CODED = {16.0, 500.0, 0.05, 20000.0}


def wrong(text, marks=None):
    def lookup(name):
        return {"": PRINTED, "09_comparison": ELSEWHERE}[name]

    return measured.complaints(measured.prose(text), marks or {}, PRINTED.values(), CODED, lookup)


@pytest.mark.parametrize(
    "text",
    [
        "Valid are 55.7 %, 56 % or about 56% of them.",
        "The picture has 102 bits, the pixels 1,070, or 1,100.",
        "The sharpness is 0.047, that is 0.05.",
        "FD-dogs falls to 8.5 from 16.",
        "We draw 500 pictures of 16 by 16 pixels; twenty thousand answers were counted.",
        "GANs are of 2014 (Goodfellow et al. 2014); see notebooks 4, 5 and 6 and homework 6.",
        "As L12 holds, x_3 and `77.7` and $88.8$ stand aside, and so does [this](99.html) in notebook [8](08.ipynb).",
        "```\nrun --steps 777\n```",
        "Time: about 35 minutes of reading.",
        "**References.** arXiv:1706.08500, pages 331 to 342.",
        "Three clouds, five pictures, sixteen numbers; the second half, half a picture; a second network.",
    ],
)
def test_what_is_in_the_outputs_or_in_the_code_is_recognised(text):
    assert wrong(text) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Valid are 39 % of them.", "39 %"),
        ("Valid are 55.8 % of them.", "55.8 %"),
        ("Valid are 5 % of them.", "5 %"),  # 0.05 in the code is no share that was measured
        ("The picture has 117 bits.", "117"),
        ("The pixels have 1,200 bits.", "1,200"),
        ("A sharpness of 0.049.", "0.049"),
        ("The judge takes four in ten.", "four in ten"),
        ("Two pictures out of three are valid.", "Two pictures out of three"),
        ("It is less than a third of that.", "a third"),
        ("Blurs, not half as sharp.", "half"),
        ("It takes more than half.", "half"),
        ("They are twice as far.", "twice"),
        ("A cloud seven times as wide.", "seven times"),
        ("They differ threefold.", "threefold"),
        ("It is a factor of ten.", "ten"),
        ("It costs fewer than two nats.", "two nats"),
        ("Of ten hardly any gets through.", "hardly any"),
        ("We count fifty thousand answers.", "fifty thousand"),
        ("It took twenty-two minutes.", "twenty-two minutes"),
    ],
)
def test_what_is_nowhere_is_caught_until_it_is_marked(text, said):
    (complaint,) = wrong(text)
    assert complaint.startswith(f"{said!r} in ")
    assert wrong(text, {said: "supposed"}) == []


def test_a_mark_without_its_number_is_caught():
    assert wrong("Valid are few.", {"39 %": "supposed"}) == ["'39 %' is marked and does not stand here as a number"]
    assert len(wrong("In the first half a dog.", {"a dog": "supposed"})) == 1
    assert wrong("There are 390 % of them.", {"39 %": "supposed"}) != []


ONE_BY_ONE = "= [judged: one by one valid #]"


@pytest.mark.parametrize(
    ("text", "mark", "formula"),
    [
        ("more than half pass", "half", ONE_BY_ONE),
        ("six in ten pass", "six in ten", ONE_BY_ONE),
        ("seven in ten pass", "seven in ten", "= [judged: in one go ... at once #]"),
        ("about half as sharp", "half as", "= [judged: one by one * * sharpness #] / [judged: real ... sharpness #]"),
        ("nearly twice as far", "twice", "= [judged: one ... FD-dogs #] / [judged: real ... FD-dogs #]"),
        ("three times as wide", "three times", "= ([bits: 102; *#] + [bits: 102; * #]) / 2"),
        ("one and a half nats", "one and a half nats", "= [bits: KL #]"),
        ("a third to half an hour, or thirty minutes", "thirty minutes", "= [09_comparison/price: vae #]"),
        ("nine bits a pixel", "nine bits", "= log2(512)"),
        ("a factor of more than thirty", "thirty", "= 32"),
        ("within one per cent", "one per cent", "= 0.3"),
        ("hardly any passes", "hardly any", "= 0.02"),
        ("there are 19,683 pictures", "19,683", "= 3 ** 9"),
        ("0.17 is missing", "0.17", "= 1 - 0.83"),
    ],
)
def test_a_formula_that_agrees_is_accepted(text, mark, formula):
    assert [complaint for complaint in wrong(text, {mark: formula}) if mark in complaint] == []


@pytest.mark.parametrize(
    ("text", "mark", "formula", "is_said"),
    [  # what readers of an earlier edition found
        ("the judge takes four in ten", "four in ten", ONE_BY_ONE, "is 0.557 by the outputs"),
        ("blurs, not half as sharp", "half as", "= 0.025 / 0.047", "is 0.5319"),
        ("fewer than one nat came through", "one nat", "= [bits: KL #]", "is 1.6"),
        ("about ten times as wide", "ten times", "= 7", "is 7"),
        ("hardly any gets through", "hardly any", "= [judged: in one go valid #]", "is 0 "),
        ("more than half of the steps", "half of", "= 0.494", "is 0.494"),
        ("within a tenth of it", "a tenth", "= 1.101 - 1", "is 0.101"),
        ("twice as far", "twice", "= 1.035 / 0.230", "is 4.5"),
        ("they differ threefold", "threefold", "= 74.1 / 19.3", "is 3.839"),
        ("the twenty minutes of these models", "twenty minutes", "= [09_comparison/price: vae #]", "is 32"),
        ("seven in ten", "seven in ten", "= [judged: at twice #]", "no output has [judged: at twice #]"),
        ("seven in ten", "seven in ten", "= [absent: valid #]", "no output has"),
        ("0.17 is missing", "0.17", "= 1 - 0.85", "is 0.15"),
    ],
)
def test_a_formula_that_does_not_agree_is_caught(text, mark, formula, is_said):
    (complaint,) = wrong(text, {mark: formula})
    assert is_said in complaint


def test_the_same_mark_fails_when_the_output_changes(monkeypatch):
    assert wrong("six in ten pass", {"six in ten": ONE_BY_ONE}) == []
    monkeypatch.setitem(PRINTED, "judged", PRINTED["judged"].replace("55.7%", "41.2%"))
    assert len(wrong("six in ten pass", {"six in ten": ONE_BY_ONE})) == 1


def test_a_formula_with_a_slip_is_a_complaint():
    assert len(wrong("six in ten pass", {"six in ten": "= 6 /"})) == 1
    assert len(wrong("six in ten pass", {"six in ten": "= six / ten"})) == 1


def test_a_number_is_looked_for_near_where_it_is_said():
    printed = new_code_cell("1", id="printed", outputs=[new_output("stream", name="stdout", text="valid 55.7%\n")])
    between = [new_markdown_cell("And so on.", id=f"between-{i}") for i in range(house.NEAR)]
    said = new_markdown_cell("Valid are 56 % of them.", id="said")
    assert house.rule_numbers(new_notebook(cells=[printed, *between[1:], said]), house.NOTEBOOKS[0]) == []
    (complaint,) = house.rule_numbers(new_notebook(cells=[printed, *between, said]), house.NOTEBOOKS[0])
    assert complaint.startswith("said: '56 %' in ")
    said.metadata.numbers = {"56 %": "= [printed: valid #]"}
    assert house.rule_numbers(new_notebook(cells=[printed, *between, said]), house.NOTEBOOKS[0]) == []


def test_outputs_are_what_was_measured_and_not_what_was_typed():
    table = "<table><td>7.5</td></table><img alt='88 dogs' src='data:image/png;base64,99'>"
    streams = [new_output("stream", name="stdout", text=text) for text in ("1.5\n", "L12 holds: 256 colours.\n")]
    page = new_output("display_data", {"text/html": table, "text/plain": "<figure 3>"})
    figure = new_output("display_data", {"text/html": "<img alt='88 dogs'>", "text/plain": "88 dogs"})
    asked = new_code_cell("quiz", id="quiz", outputs=[page], metadata={"tags": ["quiz"]})
    nb = new_notebook(cells=[new_code_cell("1", id="a", outputs=[*streams, page, figure]), asked])
    assert {id: text.split() for id, text in measured.outputs(nb).items()} == {"a": ["1.5", "7.5"]}


def test_of_code_the_words_are_read_and_what_is_filled_in_is_not():
    docstring, shown = '"""A docstring of 11 words."""', 'show(x, alt="A wall of 192 answers")'
    code = f'{docstring}\n{shown}\nprint(f"there are now {{n:9}} of 33")\n"a dog"'
    assert measured.typed(code) == "A wall of 192 answers"
    assert measured.constants("lr = 3e-4\nn = 20_000\nflag = 'seed 7'") == {3e-4, 20_000.0}


# ---- The course ----


@pytest.mark.parametrize("path", house.NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.parametrize("end", ["opening", "closing"])
def test_numbers_in_the_questions_are_those_of_the_notebook(path, end):
    unmeasured = house.numbers_against(house.read(path))
    questions = tomllib.loads((quiz.QUESTIONS / f"{path.stem}.toml").read_text(encoding="utf-8"))[end]
    for entry in questions:
        options = [text for option in (entry.get("right", []), *entry.get("wrong", [])) for text in option]
        text = measured.prose("\n".join([entry["question"], entry.get("answer", ""), *options]))
        assert not unmeasured(text, entry.get("numbers", {})), entry["question"]


NO_MEASUREMENTS = {"half of its z": "supposed", "Half of the room": "of a class"}


@pytest.mark.parametrize("path", house.NOTEBOOKS, ids=lambda path: path.stem)
def test_numbers_in_the_plans_and_the_errata_are_those_of_the_notebook(path):
    talk = re.sub(r"^\|.*$|^, waits:(?:.|\n)*?\n\n", "", PLANS[path.stem], flags=re.MULTILINE)
    errata = (house.ROOT / "ERRATA.md").read_text(encoding="utf-8").partition("## In the course")[2].splitlines()
    marks = NO_MEASUREMENTS | {"seven in ten": "= [normal-measured: shuffled ... decoded #]"}
    text = measured.prose("\n".join([talk, *(row.split("|")[-2] for row in errata if path.name in row)]))
    marks = {mark: why for mark, why in marks.items() if mark in text}
    assert not house.numbers_against(house.read(path))(text, marks)


def test_the_hours_of_reading_are_the_sum_of_the_minutes():
    readme = (house.ROOT / "README.md").read_text(encoding="utf-8")
    minutes = re.findall(r"^\| \d+ \| \[.*\| (\d+) \| \d+ \|[^|]*\|$", readme, re.MULTILINE)
    said = next(number for number in measured.SAID.finditer(readme) if number[0].endswith(" hours"))
    assert len(minutes) == len(house.NOTEBOOKS)
    assert measured.agrees(said, sum(map(int, minutes)) / 60)
