import sys

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.execute import WIDGET, RunError, execute, main, normalise, read, write


def notebook(**sources):
    return new_notebook(cells=[new_code_cell(source, id=name) for name, source in sources.items()])


@pytest.fixture
def run(monkeypatch):
    """Runs the command line with these arguments."""

    def run(*paths):
        monkeypatch.setattr(sys, "argv", ["tests.execute", *map(str, paths)])
        main()

    return run


@pytest.fixture
def foreign_kernel(tmp_path_factory, monkeypatch):
    """A kernelspec of the same name that belongs to another Python."""
    folder = tmp_path_factory.mktemp("jupyter")
    spec = folder / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text('{"argv": ["another-python"], "display_name": "Another", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(folder))


@pytest.mark.usefixtures("foreign_kernel")
def test_a_run_writes_what_is_committed(tmp_path, run, capsys):
    (tmp_path / "beside.txt").write_text("found")
    path = tmp_path / "lesson.ipynb"
    nb = notebook(
        folder="import sys\nprint(open('beside.txt').read())\nsys.executable",
        progress="import time\nfrom tqdm import tqdm\nfor _ in tqdm(range(3), 'train'): time.sleep(0.15)",
        widget="import ipywidgets\nprint('above')\ndisplay(ipywidgets.IntSlider())\nprint('below')",
    )
    write(nb, path)
    processes = psutil.Process().children()
    run(path)
    assert psutil.Process().children() == processes
    folder, progress, widget = nbformat.v4.reads(path.read_text(encoding="utf-8")).cells
    assert [cell.id for cell in (folder, progress, widget)] == ["folder", "progress", "widget"]
    assert folder.outputs[0].text == "found\n"
    assert folder.outputs[1].data["text/plain"] == repr(sys.executable)
    assert progress.outputs == []
    assert [output.text for output in widget.outputs] == ["above\nbelow\n"]
    assert all(cell.metadata == {} for cell in (folder, progress, widget))
    assert "lesson.ipynb ... " in capsys.readouterr().out
    assert sorted(file.name for file in tmp_path.iterdir()) == ["beside.txt", "lesson.ipynb"]


def test_a_failing_notebook_is_left_alone_and_the_next_one_still_runs(tmp_path, run, capsys):
    broken, fine = tmp_path / "broken.ipynb", tmp_path / "fine.ipynb"
    write(notebook(first="print(1)", second="1 / 0"), broken)
    write(notebook(only="print(2)"), fine)
    before = broken.read_bytes()
    with pytest.raises(SystemExit, match=r"1 of 2 notebooks failed: broken\.ipynb"):
        run(broken, fine)
    said = capsys.readouterr().out
    assert "broken.ipynb: cell second failed" in said
    assert "ZeroDivisionError" in said
    assert "\x1b" not in said
    assert broken.read_bytes() == before
    assert read(fine).cells[0].outputs[0].text == "2\n"


def test_a_warning_makes_the_run_fail(tmp_path):
    nb = notebook(noisy="import warnings, tqdm\nlist(tqdm.tqdm(range(2)))\nwarnings.warn('old spelling')")
    with pytest.raises(RunError, match=r"(?s)cell noisy wrote to stderr.*old spelling"):
        execute(nb, tmp_path)


@pytest.mark.parametrize(
    ("source", "reason"), [("import os; os._exit(1)", "died"), ("import time; time.sleep(30)", "timed out")]
)
def test_a_cell_that_never_answers_is_named(tmp_path, source, reason):
    with pytest.raises(RunError, match=f"(?s)cell silent failed.*{reason}"):
        execute(notebook(silent=source), tmp_path, timeout=1)


def test_an_edit_during_the_run_is_not_overwritten(tmp_path, run, capsys):
    path = tmp_path / "lesson.ipynb"
    write(notebook(edit="open('lesson.ipynb', 'a').write(' ')"), path)
    with pytest.raises(SystemExit):
        run(path)
    assert "edited it meanwhile" in capsys.readouterr().out
    assert path.read_text().endswith("\n ")


def test_what_is_no_notebook_is_said_so(tmp_path):
    path = tmp_path / "lesson.ipynb"
    path.write_text("<<<<<<< HEAD")
    with pytest.raises(RunError, match="merge conflict"):
        read(path)


def test_an_unknown_file_is_a_clear_error(tmp_path, run, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path / "absent.ipynb")
    assert "there is no notebook" in capsys.readouterr().err


def test_normalise_keeps_only_what_lasts():
    text = [new_output("stream", name="stdout", text=part) for part in ("on", "e\n")]
    bar = new_output("stream", name="stderr", text="100%|##| 3/3 [00:00<00:00, 9.1it/s]\n")
    view = new_output("display_data", {WIDGET: {}, "text/plain": "IntSlider()"})
    quiz = new_output("display_data", {WIDGET: {}, "text/plain": "Quiz", "text/html": "<p>Quiz</p>"})
    result = new_output("execute_result", {"text/plain": "1"}, execution_count=9)
    noise = {"collapsed": True, "scrolled": True, "execution": {"iopub.status.busy": "now"}}
    solution = {"tags": ["solution"], "jupyter": {"source_hidden": True, "outputs_hidden": False}}
    nb = new_notebook(
        metadata={"widgets": {}, "language_info": {"name": "python", "version": "3.11.7"}},
        cells=[
            new_code_cell("1", id="a", outputs=[text[0], bar, text[1], view, result, quiz], metadata=noise),
            new_markdown_cell("b", id="b", metadata={"tags": [], "numbers": {"39 %": "supposed"}}),
            new_code_cell("2", id="c", execution_count=7, metadata=solution),
        ],
    )
    normalise(nb)
    a, b, c = nb.cells
    assert nb.metadata == {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert (a.execution_count, c.execution_count) == (1, 2)
    assert [output.output_type for output in a.outputs] == ["stream", "execute_result", "display_data"]
    assert a.outputs[0].text == "one\n"
    assert a.outputs[1].execution_count == 1
    assert a.outputs[2].data == {"text/plain": "Quiz", "text/html": "<p>Quiz</p>"}
    assert a.metadata == {}
    assert b.metadata == {"numbers": {"39 %": "supposed"}}
    assert c.metadata == {"tags": ["solution"], "jupyter": {"source_hidden": True}}


def test_double_and_missing_ids_are_not_repaired(tmp_path):
    nb = notebook(a="1", b="2")
    nb.cells[1].id = "a"
    with pytest.raises(RunError, match=r"not a valid notebook.*'a'"):
        normalise(nb)
    del nb.cells[1]["id"]
    with pytest.raises(RunError, match=r"not a valid notebook.*id"):
        normalise(nb)
