"""Buttons of a host leave no trace when they are taken out, and what they start fetches the course where it is not."""

import json
import os
import shutil
import subprocess
import sys
from urllib.parse import parse_qs, unquote, urlsplit

import nbformat
import pytest
import yaml

from publish import badges, copies, lesson
from tests import test_notebooks
from tests.execute import normalise
from tests.test_notebooks import NOTEBOOKS, ROOT, read, rendered

HOST = badges.Host("a-teacher/dogs.2026", "autumn/term")


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A copy of the README and the notebooks."""
    root = tmp_path_factory.mktemp("course")
    shutil.copy(ROOT / "README.md", root)
    shutil.copytree(ROOT / "notebooks", root / "notebooks", ignore=shutil.ignore_patterns(".*"))
    badges.put(None, root)  # ours, too, may be one that has buttons
    return root


def contents(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_buttons_are_put_in_once_changed_and_taken_out_without_a_trace(course):
    before = contents(course)
    names = ["README.md", *(f"notebooks/{path.name}" for path in NOTEBOOKS)]
    assert badges.put(HOST, course) == names
    hosted = contents(course)
    assert badges.put(HOST, course) == []
    assert badges.put(badges.Host("other/name"), course) == names
    assert not any(b"a-teacher" in text for text in contents(course).values())
    assert badges.put(HOST, course) == names
    assert contents(course) == hosted
    assert badges.put(None, course) == names
    assert contents(course) == before


def test_nothing_else_changes_in_a_notebook(course):
    for path in NOTEBOOKS:
        ours = json.loads((course / "notebooks" / path.name).read_text(encoding="utf-8"))
        nb = json.loads(badges.of_notebook(json.dumps(ours), f"notebooks/{path.name}", HOST))
        added = [cell for cell in nb["cells"] if cell not in ours["cells"]]
        assert [cell["id"] for cell in added] == ["launch-buttons", "launch"]
        assert nb["cells"].index(added[0]) == 1
        assert [cell["id"] for cell in nb["cells"] if cell["cell_type"] == "code"][:2] == ["launch", "setup"]
        assert badges.without(nb) == ours


def test_the_buttons_lead_to_the_notebook_on_each_host():
    line = HOST.buttons("notebooks/05_vae.ipynb")
    links = {link.text: link["href"] for link in rendered(line).find_all("a")}
    assert list(links) == ["Colab", "Kaggle", "Binder", "Codespaces"]
    file = "a-teacher/dogs.2026/blob/autumn/term/notebooks/05_vae.ipynb"
    assert links["Colab"] == f"https://colab.research.google.com/github/{file}"
    assert links["Kaggle"] == f"https://kaggle.com/kernels/welcome?src=https://github.com/{file}"
    binder = urlsplit(links["Binder"])
    assert binder.path == "/v2/gh/a-teacher/dogs.2026/autumn%2Fterm"
    assert parse_qs(binder.query) == {"labpath": ["notebooks/05_vae.ipynb"]}
    assert links["Codespaces"] == "https://codespaces.new/a-teacher/dogs.2026/tree/autumn/term"
    assert not rendered(line).find("img")  # nothing is loaded from elsewhere


def test_the_readme_shows_its_buttons_below_the_title():
    ours = badges.of_readme((ROOT / "README.md").read_text(encoding="utf-8"), None)
    tree = rendered(badges.of_readme(ours, HOST))
    below = tree.find("h1").find_next("p")
    assert [kbd.text for kbd in below.find_all("kbd")] == ["Colab", "Kaggle", "Binder", "Codespaces"]
    assert unquote(below.a["href"]).endswith(badges.FIRST)
    assert (ROOT / badges.FIRST).exists()


@pytest.mark.parametrize("repo", ["dogs", "a b/dogs", "a/b/c", "/dogs", "a/", "https://github.com/a/dogs", '"a/dogs'])
def test_what_is_no_repository_is_told_so(repo, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["badges", repo])
    with pytest.raises(SystemExit, match=r"is no repository on GitHub: write REPO=owner/name"):
        badges.main()
    with pytest.raises(ValueError, match="is no branch"):
        badges.Host("a/dogs", "my branch")


@pytest.mark.skipif(not shutil.which("make"), reason="no make on this machine")
def test_make_asks_for_a_repository_before_it_changes_anything():
    run = subprocess.run(
        ["make", "--no-print-directory", "-n", "badges"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "say which repository: make badges REPO=owner/name" in run.stderr
    run = subprocess.run(
        ["make", "--no-print-directory", "-n", "badges", "REPO="], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[-1].endswith('publish.badges "" "main"')


def test_a_course_with_buttons_keeps_the_rules_and_publishes_as_before(course, tmp_path):
    badges.put(HOST, course)
    for path in (course / "notebooks").glob("0[0-1]_*.ipynb"):
        hosted, ours = read(path), read(ROOT / "notebooks" / path.name)
        for rule in (test_notebooks.rule_setup, test_notebooks.rule_executed, test_notebooks.rule_length):
            assert rule(hosted, path) == rule(ours, path)
        (tmp_path / path.stem).mkdir()
        page = lesson.read(path, lesson.Formulas(), tmp_path / path.stem)
        assert "launch" not in [part.id for part in page.parts]
        copies.build("student", [path], tmp_path / "student")
        assert "a-teacher" not in (tmp_path / "student" / path.name).read_text(encoding="utf-8")
    badges.put(None, course)


def test_the_code_is_in_the_style_of_the_house_and_short(tmp_path):
    source = badges.Host("a-teacher/one-prompt-many-pictures").launch()
    assert len(source.splitlines()) <= 30
    ruff = [sys.executable, "-m", "ruff"]
    for words in (["check", "--config", "lint.extend-ignore=['E402']"], ["format", "--check"]):
        run = subprocess.run(
            [*ruff, *words, "--config", ROOT / "pyproject.toml", "-"],
            input=source + "\n",
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stdout


# ---- What the first cell does ----

FOUND = "def ready():\n    print('ready in', __file__)\n"


def runs(source, folder, **variables):
    """What code prints in a Python without packages, started in a folder; and its error."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    words = [sys.executable, "-S", "-c", source]
    run = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return run.stdout, run.stderr


def make_course(folder):
    (folder / "helpers").mkdir(parents=True)
    (folder / "helpers" / "__init__.py").write_text("")
    (folder / "helpers" / "install.py").write_text(FOUND)
    return folder


@pytest.fixture
def github(tmp_path):
    """Variables with which git takes a folder for GitHub, and in which the course lies."""
    if not shutil.which("git"):
        pytest.skip("no git on this machine")
    course = make_course(tmp_path / "github" / "teacher" / "dogs")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "The course"]):
        subprocess.run([*git, *words], cwd=course, check=True)
    there = (tmp_path / "github").as_uri() + "/"
    (tmp_path / "gitconfig").write_text(f'[url "{there}"]\n\tinsteadOf = https://github.com/\n')
    return {"GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig")}


def test_the_course_is_fetched_once_and_found_the_second_time(tmp_path, github):
    source, content = badges.Host("teacher/dogs").launch(), tmp_path / "content"
    content.mkdir()
    where = str(content / "dogs" / "helpers" / "install.py")
    assert runs(source, content, **github)[0] == f"Fetching the course ...\nready in {where}\n"
    assert [path.name for path in content.iterdir()] == ["dogs"]
    assert runs(source, content)[0] == f"ready in {where}\n"  # it needs git no more
    (content / "dogs" / "notebooks").mkdir()
    assert runs(source, content / "dogs" / "notebooks")[0] == f"ready in {where}\n"
    assert runs(source + "\n" + source, content)[0] == f"ready in {where}\n" * 2


def test_a_course_that_was_uploaded_under_another_name_is_found(tmp_path):
    make_course(tmp_path / "dogs-main")
    said, _ = runs(badges.Host("teacher/dogs").launch(), tmp_path)
    assert said == f"ready in {tmp_path / 'dogs-main' / 'helpers' / 'install.py'}\n"


def test_what_cannot_be_fetched_leaves_nothing_and_says_why(tmp_path, github):
    for host in (badges.Host("teacher/cats"), badges.Host("teacher/dogs", "summer")):
        (content := tmp_path / "content").mkdir(exist_ok=True)
        _, error = runs(host.launch(), content, **github)
        assert list(content.iterdir()) == []
        assert "ConnectionError: No network?" in error
        assert "fatal: " in error


# ---- Binder ----


def test_binder_gets_the_small_torch_first_and_a_python_that_will_do():
    folder = ROOT / ".binder"
    script = (folder / "postBuild").read_text(encoding="utf-8")
    assert os.name == "nt" or os.access(folder / "postBuild", os.X_OK)
    assert script.index("https://download.pytorch.org/whl/cpu") < script.index("-e .")
    version = (folder / "runtime.txt").read_text(encoding="utf-8").strip().removeprefix("python-")
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    lowest = environment["dependencies"][0].removeprefix("python>=")
    assert tuple(map(int, version.split("."))) >= tuple(map(int, lowest.split(".")))


def test_the_cell_to_paste_is_the_one_that_the_buttons_bring():
    text = (ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
    assert f"```python\n{badges.Host('owner/name').launch()}\n```" in text


def test_what_a_host_has_put_in_is_not_counted_when_a_notebook_is_executed():
    nb = nbformat.v4.reads(badges.of_notebook(NOTEBOOKS[0].read_text(encoding="utf-8"), badges.FIRST, HOST))
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, start=1):
        cell.execution_count = count
    code[0].outputs = [nbformat.v4.new_output("stream", text="Fetching the course ...\n")]
    normalise(nb)
    assert (code[0].execution_count, code[0].outputs) == (None, [])
    assert [cell.execution_count for cell in code[1:]] == list(range(1, len(code)))
