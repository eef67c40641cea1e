"""``make book``: all lessons as one PDF, printed by Chromium from what the site is made of."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import sync_playwright

from publish.chromium import BROWSER, FLAGS
from publish.lesson import BuildError
from publish.site import FRAMES, ROOT, Site, documents, fetch_packages

BOOK = ROOT / "build" / "book.pdf"


def build(file: Path, notebooks: Sequence[Path] | None = None) -> None:
    """Print the book.

    Args:
        file: of the PDF.
        notebooks: the lessons; by default all of the course.

    Raises:
        BuildError: a package, a formula or Chromium is in the way.
    """
    if BROWSER is None:
        raise BuildError("The book is printed by Chromium, which is not on this machine: see CONTRIBUTING.md.")
    lessons = sorted((ROOT / "notebooks").glob("*.ipynb")) if notebooks is None else notebooks
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = Site(lessons, documents(), fetch_packages(), FRAMES, Path(folder)).book()
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        tab = browser.new_page()
        tab.emulate_media(media="print", reduced_motion="reduce")  # animations as stills
        tab.goto(page.as_uri())
        tab.evaluate("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
        tab.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
        tab.wait_for_function("[...document.images].every(image => image.complete)")
        file.parent.mkdir(parents=True, exist_ok=True)
        tab.pdf(path=file, format="A4", prefer_css_page_size=True, print_background=True, outline=True, tagged=True)
        browser.close()


def main() -> None:
    """Print it into ``build/book.pdf``."""
    try:
        build(BOOK)
    except BuildError as error:
        sys.exit(str(error))
    print(f"{BOOK}: {BOOK.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
