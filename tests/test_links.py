"""The addresses outside the course are listed, each once, with the files where they stand."""

from bs4 import BeautifulSoup

from tests import links
from tests.test_notebooks import rendered


def test_an_address_is_listed_once_with_its_files():
    text = (
        "[a](https://a.org/x) <https://b.org> and https://c.org/y. [here](README.md#top) ![p](https://p.org/p.png)\n\n"
    )
    code = "```\nexport PROXY=http://d.org:8080\n```\n"
    output = BeautifulSoup('<a href="https://a.org/x">a</a><img src="data:image/png;base64,AA">', "html.parser")
    found = links.external({"one.md": [rendered(text)], "two.ipynb": [rendered(code), output]})
    assert found == {
        "http://d.org:8080": ["two.ipynb"],
        "https://a.org/x": ["one.md", "two.ipynb"],
        "https://b.org": ["one.md"],
        "https://c.org/y": ["one.md"],
        "https://p.org/p.png": ["one.md"],
    }


def test_the_course_itself_is_read_whole():
    pages = links.pages()
    assert {path.suffix for path in pages} == {".md", ".ipynb"}
    found = links.external({path.name: trees for path, trees in pages.items()})
    assert found["https://docs.astral.sh/uv/"] == ["installing.md"]
    assert "00_start_here.ipynb" in found["https://creativecommons.org/licenses/by/4.0/"]
