"""The glossary says what the notebooks say."""

import re

import pytest

from tests import glossary

HELPERS = "\n".join(path.read_text(encoding="utf-8") for path in (glossary.ROOT / "helpers").rglob("*.py"))


def test_the_page_is_what_the_notebooks_make_of_it():
    assert glossary.FILE.read_text(encoding="utf-8") == glossary.page(), "run `make glossary`"


def test_every_notebook_has_terms():
    assert {path for *_, path in glossary.terms()} == set((glossary.ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize(("english", "chinese", "code", "path"), glossary.terms())
def test_a_term_is_in_chinese_too_and_its_name_in_code_is_used(english, chinese, code, path):
    assert re.search(r"[\u4e00-\u9fff]", chinese), f"{english} has no name in 繁體中文"
    used = "\n".join(glossary.cells(path, "code")) + HELPERS
    for quoted in re.findall(r"`([^`]+)`", code):
        for name in re.findall(r"[A-Za-z_]\w+", quoted):
            assert re.search(rf"\b{name}\b", used), f"{name} is nowhere in {path.name} or the helpers"


@pytest.mark.parametrize(("symbol", "meaning", "code", "name"), glossary.SYMBOLS)
def test_a_symbol_stands_in_the_text_and_its_name_in_the_code_of_its_notebook(symbol, meaning, code, name):
    path = glossary.ROOT / "notebooks" / f"{name}.ipynb"
    formulas = " ".join(re.findall(r"\$[^$]+\$|\bz\b", "\n".join(glossary.cells(path, "markdown"))))
    assert symbol in formulas, f"{symbol} is in no formula of {path.name}"
    assert re.search(rf"\b{code}\b", "\n".join(glossary.cells(path, "code"))), f"{code} is not in its code"
