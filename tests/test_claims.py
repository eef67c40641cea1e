"""The first page says what each claim rests on: what is computed live, a network trained before, or stored runs."""

import re

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from tests.test_notebooks import CLAIMS, ROOT, code_cells, python, read
from tests.test_teaching import names

KINDS = ("Live.", "Live, with a shipped network.", "Stored runs.")  # as the table calls them, the strongest first


def behind(cells: list[NotebookNode], claim: str) -> list[NotebookNode]:
    """The cells that made what a claim cell uses, and what these use in turn; the claim cell first."""
    at = [cell.id for cell in cells].index(claim)
    found, needed = [cells[at]], set(names(python(cells[at]))[1])
    for cell in reversed(cells[:at]):
        made, uses = names(python(cell))
        if made & needed:
            found.append(cell)
            needed |= uses
    return found


def kind(cells: list[NotebookNode], claim: str) -> str:
    """What a claim rests on, one of ``KINDS``."""
    code = "\n".join(python(cell) for cell in behind(cells, claim))
    return KINDS[2 if ".TABLE.rows()" in code else 1 if "checkpoints.load(" in code else 0]


def test_what_stands_behind_a_claim_is_found():
    sources = {
        "train": "model = learn()",
        "load": "shipped = checkpoints.load('vae')",
        "draw": "def draw(model):\n    return model(1)\n\n\npictures = draw(model)",
        "stored": "ROWS = parts.TABLE.rows()",
        "claim-l01": "assert pictures",
        "claim-l02": "assert draw(shipped)",
        "claim-l03": "assert pictures and ROWS",
    }
    cells = [new_code_cell(source, id=id) for id, source in sources.items()]
    assert [cell.id for cell in behind(cells, "claim-l01")] == ["claim-l01", "draw", "train"]
    assert [kind(cells, f"claim-l0{k}") for k in (1, 2, 3)] == list(KINDS)


@pytest.mark.parametrize("said", KINDS)
def test_the_first_page_says_what_the_claims_rest_on(said):
    rests_on = {}
    for name, claims in CLAIMS.items():
        cells = code_cells(read(ROOT / "notebooks" / f"{name}.ipynb"))
        for claim in claims:  # one that is shown twice counts as what needs more
            found = kind(cells, f"claim-{claim.lower()}")
            rests_on[claim] = max(found, rests_on.get(claim, found), key=KINDS.index)
    cells = read(ROOT / "notebooks" / "00_start_here.ipynb").cells
    table = next(cell.source for cell in cells if cell.id == "what-rests-on-what")
    row = next(row for row in table.splitlines() if row.startswith(f"| **{said}**"))
    expected = sorted(claim for claim, found in rests_on.items() if found == said)
    assert re.findall(r"L\d\d", row) == expected, f"in 00_start_here, after {said!r} should stand {', '.join(expected)}"
