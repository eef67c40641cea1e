"""The site: nothing of a lesson is lost, no link is dead, and every page opens in a browser whose network is off."""

import collections
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import torch
from bs4 import BeautifulSoup
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from helpers import figures
from helpers.widgets import Explorer
from publish import frames, slides
from publish.chromium import BROWSER, FLAGS
from publish.lesson import BuildError, Formulas, Lesson, Output, markdown, slug
from publish.lesson import read as read_lesson
from publish.site import PACKAGES, Document, build, changes, documents, fetch_packages, sections
from tests.execute import execute
from tests.test_notebooks import NOTEBOOKS, ROOT, code_cells, markdown_cells, read, rendered, tags

LESSONS = [f"{path.stem}.html" for path in NOTEBOOKS]
SLIDES = [f"slides/{name}" for name in LESSONS]
OTHERS = ["index.html", *(f"{name}.html" for name in documents())]
LIVE = next(path for path in NOTEBOOKS if path.stem == "08_gan")
FORMULA = re.compile(r"\$\$?[^$]*\$\$?")
no_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="no npm on this machine")
no_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")


def drawn(game, move):
    """A figure that can be told from the others by its colour."""
    image = Image.new("RGB", (40, 20), (100 * (game == "b"), 50 * move, 0))
    return figures.Figure(image, f"game {game}, move {move}", f"after {move}")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, in which one widget of lesson 8 moves."""
    try:
        fetch_packages()
    except BuildError:
        pytest.skip("KaTeX is not fetched" if shutil.which("npm") else "no npm on this machine")
    folder = tmp_path_factory.mktemp("site")
    widget = next(cell.id for cell in code_cells(read(LIVE)) if "widget" in tags(cell))
    explorer = Explorer(drawn, start={"move": 1}, game=["a", "b"], move=range(4))
    frames.store(explorer, str(folder / "frames" / LIVE.stem / widget))
    build(folder / "site", shown=folder / "frames")
    return folder / "site"


@lru_cache
def tree(site: Path, page: str) -> BeautifulSoup:
    """A page, read once: it is only looked at."""
    return BeautifulSoup((site / page).read_text(encoding="utf-8"), "html.parser")


@lru_cache
def names(site: Path, page: str) -> set[str]:
    """What the parts of a page are called in an address."""
    return {element["id"] for element in tree(site, page).find_all(id=True)}


def plain(text: str) -> str:
    """Text without the spaces, which HTML and Markdown treat differently."""
    return re.sub(r"\s+", "", text)


# ---- Every page ----


def page_complaints(page: BeautifulSoup) -> list[str]:
    """What is wrong with a page, whatever it is about."""
    complaints = []
    if page.html.get("lang") != "en" or not page.title.get_text().strip():
        complaints.append("no language or no title")
    if len(page.find_all("main")) != 1:
        complaints.append(f"{len(page.find_all('main'))} <main>")
    if len(page.find_all("h1")) != 1:
        complaints.append(f"{len(page.find_all('h1'))} titles")
    ids = collections.Counter(element["id"] for element in page.find_all(id=True))
    complaints += [f"the id {name} stands {count} times" for name, count in ids.items() if count > 1]
    for image in page.find_all("img"):
        if not image.get("alt", "").strip() or not image.get("width"):
            complaints.append(f"no alt text or no size: {image.get('src')}")
    for element in page.select("script[src], link[href], img[src]"):
        address = element.get("src") or element.get("href")
        if urlsplit(address).scheme not in ("", "data"):
            complaints.append(f"{address} is elsewhere")
    if re.search("[\ue000\ue001]|\\$\\$", page.get_text()):
        complaints.append("a formula was left out")
    return complaints


def test_what_is_wrong_with_a_page_is_found():
    good = (
        '<html lang="en"><title>A</title><main id="a"><h1>A</h1><img src="a.png" alt="a dog" width="3"></main></html>'
    )
    assert page_complaints(BeautifulSoup(good, "html.parser")) == []
    for old, new in [
        (' lang="en"', ""),
        ("<h1>A</h1>", ""),
        ("main", "div"),
        ("<h1>", '<h1 id="a">'),
        ('alt="a dog"', 'alt=""'),
        (' width="3"', ""),
        ("a.png", "https://example.org/a.png"),
        ("<h1>A", "<h1>A \ue0003\ue001"),
    ]:
        assert len(page_complaints(BeautifulSoup(good.replace(old, new), "html.parser"))) == 1, new


@no_npm
def test_every_page_is_well_made(site):
    complaints = {page: page_complaints(tree(site, page)) for page in [*OTHERS, *LESSONS, *SLIDES]}
    assert {page: found for page, found in complaints.items() if found} == {}


@no_npm
def test_every_link_leads_somewhere(site):
    dead = []
    for page in [*OTHERS, *LESSONS, *SLIDES]:
        for element in tree(site, page).select("a[href], link[href], img[src], script[src]"):
            address = element.get("href") or element.get("src")
            url = urlsplit(address)
            if url.scheme:
                continue
            target = os.path.normpath(Path(page).parent / unquote(url.path)) if url.path else page
            if not (site / target).is_file():
                dead.append(f"{page}: {address}")
            elif url.fragment and url.fragment not in names(site, target):
                dead.append(f"{page}: {address} names no part of the page")
    assert dead == []


@no_npm
def test_titles_tell_the_pages_apart(site):
    titles = [tree(site, page).title.get_text() for page in [*OTHERS, *LESSONS, *SLIDES]]
    assert len({*titles}) == len(titles)


@no_npm
def test_the_map_leads_to_every_lesson_and_one_lesson_to_the_next(site):
    links = [link["href"] for link in tree(site, "index.html").select(".map a")]
    assert links == [address for lesson in LESSONS for address in (lesson, f"slides/{lesson}")]
    assert all(len(card.get_text(strip=True)) > 30 for card in tree(site, "index.html").select(".map li"))
    for before, after in itertools.pairwise(LESSONS):
        assert tree(site, before).select_one(".turn a[rel=next]")["href"] == after
        assert tree(site, after).select_one(".turn a[rel=prev]")["href"] == before


# ---- Nothing is lost ----


@no_npm
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_page_holds_the_whole_lesson(path, site):
    page, nb = tree(site, f"{path.stem}.html"), read(path)
    for code, cell in zip(page.select(".part:not(.text) pre.code"), code_cells(nb), strict=True):
        assert code.get_text() == cell.source.rstrip()
    for part, cell in zip(page.select(".part"), nb.cells, strict=True):
        assert part["id"] == f"cell-{cell.id}"
        if cell.cell_type == "markdown":
            texts = [text for text in part.find_all(string=True) if not text.find_parent(class_="katex")]
            assert plain("".join(texts)) == plain(rendered(FORMULA.sub("", cell.source)).get_text())
            continue
        shown = [output for output in cell.outputs if "exercise" not in tags(cell)]
        images = [image["alt"] for image in part.select(".output:not(.explorer) img")]
        stored = [output.data.get("text/html", "") for output in shown if "data" in output]
        assert images == [image["alt"] for html in stored for image in BeautifulSoup(html, "html.parser").select("img")]
        for output in shown:
            assert plain(output.get("text", "")) in plain(part.get_text())


@no_npm
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_solutions_are_folded_away_and_not_on_slides(path, site):
    page, deck = tree(site, f"{path.stem}.html"), plain(tree(site, f"slides/{path.stem}.html").get_text())
    solutions = [cell for cell in code_cells(read(path)) if "solution" in tags(cell)]
    for cell in solutions:
        part = page.find(id=f"cell-{cell.id}")
        assert [child.name for child in part.find_all(recursive=False)] == ["details"]
        assert "open" not in part.details.attrs
        assert plain(cell.source) not in deck


@no_npm
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_slides_show_every_heading_question_and_figure(path, site):
    deck, nb = tree(site, f"slides/{path.stem}.html"), read(path)
    headings = [heading.get_text() for cell in markdown_cells(nb) for heading in rendered(cell.source).select("h1, h2")]
    assert [heading.get_text() for heading in deck.select("h1, h2")] == headings
    question = re.compile(r"^(?:> )?\*\*(?:Predict|Exercise|Step \d)\.", re.M)
    questions = sum(len(question.findall(cell.source)) for cell in nb.cells)
    assert len(deck.select("p.predict, p.exercise")) == questions
    for question in deck.select("p.predict"):
        assert not question.find_next_siblings(), "the answer stands on the slide of the question"
    lesson = {image["alt"] for image in tree(site, f"{path.stem}.html").select(".output img")}
    assert {image["alt"] for image in deck.select("img")} == lesson


def test_a_formula_that_is_no_tex_is_named():
    if not (PACKAGES / "node_modules" / "katex").is_dir():
        pytest.skip("KaTeX is not fetched")
    formulas = Formulas()
    markdown(r"It is $\frac{1}{$, no more.", formulas)
    with pytest.raises(BuildError, match=r"\\frac"):
        formulas.rendered(PACKAGES)


def test_chinese_is_marked_and_headings_are_named():
    shown = markdown("## The judge, *again*\n\nA **generator** (生成器), `x`: 有效、忠實。", Formulas())
    assert '<h2 id="the-judge-again">' in shown
    assert '(<span lang="zh-Hant">生成器</span>)' in shown
    assert '<span lang="zh-Hant">有效、忠實</span>' in shown
    assert slug("What <em>is</em> z?") == "what-is-z"


# ---- Slides ----


def cut(tmp_path, *cells):
    """The slides of a lesson of these cells; a text is markdown, a pair is code and the HTML that it shows."""
    made = []
    for cell in cells:
        if isinstance(cell, str):
            made.append(nbformat.v4.new_markdown_cell(cell))
        else:
            output = nbformat.v4.new_output("execute_result", data={"text/html": cell[1]}, execution_count=1)
            made.append(nbformat.v4.new_code_cell(cell[0], outputs=[output]))
    (tmp_path / "pictures").mkdir()
    path = tmp_path / "00_x.ipynb"
    path.write_text(nbformat.writes(nbformat.v4.new_notebook(cells=made)), encoding="utf-8")
    return slides.cut(read_lesson(path, Formulas(), tmp_path / "pictures"))


def test_a_figure_and_the_words_about_it_share_a_slide(tmp_path):
    tall = figures.crowd(torch.rand(4, 3, 8, 8), alt="tall", columns=1).html()
    words = "Look at the top. " + "It goes on and on, as such words do. " * 12
    title, look = cut(
        tmp_path, "# 1. X\n\n**Yes.**", "## Look\n\n**Predict.** What will it be?", ("show()", tall), words
    )
    assert [slide.kind for slide in title] == ["text"]
    ask, shown, rest = look
    assert "Predict." in ask.html
    assert "tall" not in ask.html
    assert shown.kind == "figure beside"
    assert 'alt="tall"' in shown.html
    assert "Look at the top." in shown.html
    assert plain(BeautifulSoup(shown.html + rest.html, "html.parser").get_text()) == plain(words), "nothing is lost"
    assert max(slides.count(slide.html) for slide in (shown, rest)) <= slides.ROOM
    assert (ask.running, shown.running) == ("", "Look")


def test_a_definition_is_shown_without_what_is_done_with_it(tmp_path):
    source = "import math\n\n\n@cache\ndef double(x):\n    return 2 * x\n\n\nprint(double(3))"
    ((_, code),) = cut(tmp_path, "# 1. X", (source, "<p>6</p>"))
    assert BeautifulSoup(code.html, "html.parser").get_text() == "@cache\ndef double(x):\n    return 2 * x"


def test_sounds_are_heard_on_the_page_and_on_slides(tmp_path):
    sounds = figures.Sounds({"a < b": torch.zeros(80)}, rate=8000, alt="Silence").html()
    ((_, heard),) = cut(tmp_path, "# 1. X", ("listen()", sounds), "Listen.")
    page = BeautifulSoup(heard.html, "html.parser")
    assert page.audio["src"] == BeautifulSoup(sounds, "html.parser").audio["src"]
    assert page.audio["aria-label"] == page.figcaption.get_text() == "a < b"
    assert "Listen." in page.get_text()


# ---- Widgets ----


def test_few_places_are_all_shown_and_many_one_slider_at_a_time():
    few = list(frames.places({"a": [1, 2], "b": "xyz"}, {"a": 2, "b": "x"}))
    assert len({tuple(place.items()) for place in few}) == len(few) == 6
    many = list(frames.places(dict.fromkeys("abc", range(10)), dict.fromkeys("abc", 4)))
    assert len(many) == 1 + 3 * 9
    assert all(sum(value != 4 for value in place.values()) <= 1 for place in many)
    assert many[0] == {"a": 4, "b": 4, "c": 4}


def test_equal_pictures_are_stored_once(tmp_path):
    explorer = Explorer(lambda a, b: figures.Figure(Image.new("RGB", (4, 4), (a, 0, 0)), f"{a}{b}"), a=[1, 2], b="xyz")
    frames.store(explorer, str(tmp_path / "w"))
    stored = json.loads((tmp_path / "w" / "frames.json").read_text(encoding="utf-8"))
    assert {key: frame["alt"] for key, frame in stored["frames"].items()} == {
        "0,0": "1x", "0,1": "1y", "0,2": "1z", "1,0": "2x", "1,1": "2y", "1,2": "2z"
    }  # fmt: skip
    assert len(list((tmp_path / "w").glob("*.webp"))) == 2
    picture = Image.open(tmp_path / "w" / stored["frames"]["1,0"]["file"]).convert("RGB")
    assert picture.getpixel((0, 0)) == (2, 0, 0)


def test_a_widget_that_is_not_stored_is_left_to_its_strip(tmp_path):
    assert frames.explorer(tmp_path, tmp_path) == []


def test_the_widget_of_a_running_notebook_is_stored(tmp_path):
    source = """from PIL import Image
from helpers import figures, widgets
_ = 3  # a lesson may use this name itself
widgets.Explorer(lambda a: figures.Figure(Image.new("RGB", (4, 4)), f"a is {a}"), a=[1, 2]).view"""
    cell = nbformat.v4.new_code_cell(source, id="walk", metadata={"tags": ["widget"]})
    after = nbformat.v4.new_code_cell("raise ValueError('nobody needs this')", id="after")
    nb = frames.with_store(nbformat.v4.new_notebook(cells=[cell, after]), tmp_path / "frames")
    execute(nb, tmp_path)
    stored = json.loads((tmp_path / "frames" / "walk" / "frames.json").read_text(encoding="utf-8"))
    assert [frame["alt"] for frame in stored["frames"].values()] == ["a is 1", "a is 2"]
    assert frames.with_store(nbformat.v4.new_notebook(cells=[after]), tmp_path) is None


def test_words_are_escaped(tmp_path):
    explorer = Explorer(lambda a: figures.Figure(Image.new("RGB", (4, 4)), '<b> & "c"'), a=["<i>"])
    frames.store(explorer, str(tmp_path / "x" / "w"))
    (output,) = frames.explorer(tmp_path / "x" / "w", tmp_path)
    assert isinstance(output, Output)
    page = BeautifulSoup(output.html, "html.parser")
    assert page.find("b") is page.find("i") is None
    assert page.img["alt"] == '<b> & "c"'
    assert json.loads(page.div["data-frames"])["choices"] == {"a": ["<i>"]}


# ---- In a browser, without a network ----


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def offline(chromium):
    """A page of a browser that notes whatever goes wrong, in ``complaints``."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, offline=True)
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: page.complaints.append(f"error: {error}"))
    page.on("requestfailed", lambda request: page.complaints.append(f"failed: {request.url}"))
    page.on(
        "request",
        lambda request: request.url.startswith(("file:", "data:")) or page.complaints.append(f"asked: {request.url}"),
    )
    yield page
    context.close()


def accessibility_complaints(page) -> list[str]:
    """What axe-core takes for serious or critical, with the first element of each kind."""
    page.evaluate((PACKAGES / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8"))
    # What KaTeX draws is hidden from readers' tools, which get its MathML instead; to walk through it takes long.
    found = page.evaluate("axe.run({exclude: ['.katex-html']}, {resultTypes: ['violations'], preload: false})")
    return [
        f"{violation['id']}: {violation['help']}: {violation['nodes'][0]['html'][:200]}"
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
    ]


def show_all_pictures(page) -> None:
    """Load what a page loads only when it is looked at."""
    page.evaluate("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
    page.wait_for_function("[...document.images].every(image => image.complete)")


@no_npm
@no_browser
@pytest.mark.parametrize("name", [*OTHERS, *LESSONS])
def test_a_page_opens_without_a_network(name, site, offline):
    offline.goto((site / name).as_uri())
    show_all_pictures(offline)
    assert offline.evaluate("[...document.images].filter(image => !image.naturalWidth).map(image => image.src)") == []
    formulas = tree(site, name).select(".katex")
    assert offline.locator(".katex math").count() == len(formulas)
    assert offline.evaluate("[...document.querySelectorAll('p .katex-html')].every(e => e.offsetWidth > 3)")
    if formulas:
        assert offline.evaluate("document.fonts.check('16px KaTeX_Main')"), "the letters of mathematics are missing"
    assert accessibility_complaints(offline) == []
    offline.set_viewport_size({"width": 400, "height": 800})
    assert offline.evaluate("document.documentElement.scrollWidth") <= 400, "on a phone it is wider than the screen"
    assert offline.complaints == []


@no_npm
@no_browser
@pytest.mark.parametrize("name", ["index.html", "judge.html", LESSONS[5]])
def test_a_page_can_be_read_in_the_dark(name, site, offline):
    offline.emulate_media(color_scheme="dark")
    offline.goto((site / name).as_uri())
    ground = offline.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", ground))) < 60
    assert accessibility_complaints(offline) == []


@no_npm
@no_browser
def test_a_search_leads_to_the_section(site, offline):
    offline.goto((site / "judge.html").as_uri())
    offline.get_by_role("searchbox").fill("Fréchet distance <b>")
    expect(offline.get_by_role("status")).to_have_text("0 sections")
    offline.get_by_role("searchbox").fill("posterior COLLAPSE")
    expect(offline.locator(".found li")).not_to_have_count(0)
    assert "posterior" in offline.locator(".found mark").first.inner_text().lower()
    assert accessibility_complaints(offline) == []
    offline.locator(".found a", has_text="Numbers that fall silent").click()
    assert offline.url.endswith("05_vae.html#numbers-that-fall-silent")
    expect(offline.locator(".contents [aria-current]")).to_have_text("Numbers that fall silent")
    offline.get_by_role("searchbox").fill("後驗塌縮")
    expect(offline.locator(".found a").first).to_be_visible()
    offline.keyboard.press("Escape")
    expect(offline.locator(".found")).to_be_hidden()
    assert offline.complaints == []


@no_npm
@no_browser
def test_code_can_be_copied(site, chromium):
    context = chromium.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto((site / LESSONS[5]).as_uri())
    page.get_by_role("button", name="Copy").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") in page.locator("pre.code").all_text_contents()
    context.close()


def test_a_search_knows_the_words_under_each_heading():
    page = '<h1 id="a">A</h1><p>one</p><h2 id="b-c">B <b>c</b></h2><p>two \ue0003\ue001 three</p><ul><li>four</li></ul>'
    assert sections("05_x", "A", page) == [
        {"page": "05_x.html", "title": "A", "heading": "A", "text": " one"},
        {"page": "05_x.html#b-c", "title": "A", "heading": "B c", "text": " two three four"},
    ]


def test_what_changed_in_a_lesson_is_found():
    text = (
        '<h2>2</h2><ul><li><a href="05_x.html">5</a>: a <b>film</b>.</li><li>See <a href="05_x.html">5</a>.</li></ul>'
        '<h2>1</h2><ul><li><a href="06_y.html">6</a>: no.</li><li><a href="05_x.html">5</a>: new.</li></ul>'
    )
    lesson = Lesson("05_x", "X", "", None, [])
    assert changes(Document("What changed", text), lesson) == [("2", "a <b>film</b>."), ("1", "new.")]
    assert changes(None, lesson) == []


@no_npm
@no_browser
def test_a_book_is_printed(tmp_path, site):
    print_two = (
        "import sys; from pathlib import Path; from publish import book; file, *lessons = map(Path, sys.argv[1:]); "
        "book.build(file, lessons)"
    )
    command = [sys.executable, "-c", print_two, str(tmp_path / "book.pdf"), *map(str, NOTEBOOKS[:2])]
    subprocess.run(command, cwd=ROOT, check=True)  # the browser of the other tests is in this process
    content = (tmp_path / "book.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) > 10
    assert b"/StructTreeRoot" in content  # a reader's tools find headings and pictures


@no_npm
@no_browser
@pytest.mark.parametrize("name", SLIDES)
def test_slides_open_without_a_network_and_fit(name, site, offline):
    offline.goto((site / name).as_uri())
    offline.wait_for_function("window.Reveal && Reveal.isReady()")
    assert offline.locator("[data-too-long]").count() == 0
    too_long = offline.evaluate(
        """Reveal.getSlides().filter(slide => {
            const {h, v} = Reveal.getIndices(slide);
            Reveal.slide(h, v, 9);
            return slide.scrollHeight > 720 || slide.scrollWidth > 1280 || getComputedStyle(slide).display === "none";
        }).map(slide => slide.textContent.trim().slice(0, 80))"""
    )
    assert too_long == []
    show_all_pictures(offline)
    assert accessibility_complaints(offline) == []
    offline.evaluate("Reveal.slide(1, 0)")
    assert accessibility_complaints(offline) == []
    offline.evaluate("Reveal.slide(0, 0)")
    offline.keyboard.press("ArrowRight")
    assert offline.evaluate("Reveal.getSlidePastCount()") == 1
    assert offline.complaints == []


@no_npm
@no_browser
@pytest.mark.parametrize("name", [f"{LIVE.stem}.html", f"slides/{LIVE.stem}.html"])
def test_a_stored_widget_answers_the_keyboard(name, site, offline):
    offline.goto((site / name).as_uri())
    if name.startswith("slides"):
        offline.wait_for_function("window.Reveal && Reveal.isReady()")
        offline.evaluate("{const {h, v} = Reveal.getIndices(document.querySelector('.live').closest('section'));"
                         "Reveal.slide(h, v)}")  # fmt: skip
    image, said = offline.locator(".live img"), offline.locator(".live figcaption")
    expect(image).to_have_attribute("alt", "game a, move 1")
    offline.locator(".live input").nth(1).focus()
    offline.keyboard.press("ArrowRight")
    expect(image).to_have_attribute("alt", "game a, move 2")
    expect(said).to_have_text("after 2")
    offline.keyboard.press("Shift+Tab")
    offline.keyboard.press("ArrowRight")
    expect(image).to_have_attribute("alt", "game b, move 2")
    slider = offline.locator(".live input").first
    assert slider.get_attribute("aria-valuetext") == "b"
    offline.wait_for_function("document.querySelector('.live img').naturalWidth === 40")
    assert offline.complaints == []
