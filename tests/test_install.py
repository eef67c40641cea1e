"""The set-up says in one plain sentence what stands in its way, takes what is small, and notices what has changed."""

import http.server
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import threading

import pytest

from helpers import install


@pytest.fixture
def set_up(monkeypatch, tmp_path):
    """Runs the set-up of a course in a folder of its own; gives what it called. Nothing is really installed."""
    root = tmp_path / "course"
    root.mkdir()
    for name in ("pyproject.toml", "requirements.lock"):
        (root / name).write_text(name)
    calls, fails = [], []

    def call(command):
        calls.append(" ".join(command))
        python = install.python_of(install.VENV)
        os.makedirs(os.path.dirname(python), exist_ok=True)
        open(python, "w").close()
        return int(any(word in calls[-1] for word in fails))

    def asked(question, *_):
        if os.path.exists(install.python_of(install.VENV)):
            return next(words for name, words in run.there.items() if name in question)
        return None

    monkeypatch.setattr(subprocess, "call", call)
    monkeypatch.setattr(install, "asked", asked)
    monkeypatch.setattr(install, "has_nvidia", lambda: False)
    monkeypatch.setattr(install, "answers", lambda: False)
    monkeypatch.delenv("NEWEST", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)

    def run(*arguments, folder=root, failing=()):
        monkeypatch.setattr(install, "ROOT", str(folder))
        monkeypatch.setattr(install, "VENV", str(folder / ".venv"))
        monkeypatch.setattr(install, "LOCK", str(folder / "requirements.lock"))
        calls.clear()
        fails[:] = failing
        install.main(list(arguments))
        return list(calls)

    run.root = root
    run.there = {"version_info": ["3", "12"], "torch": ["2.14.1"], "pip": ["25.0"]}  # once it is made
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    return run


def test_an_old_python_is_told_so():
    assert "needs Python 3.11 or newer, and this is 3.9" in install.problem(version=(3, 9))


@pytest.mark.parametrize(("small", "needed"), [(True, 3), (False, 10)])
def test_a_full_disk_is_told_so(monkeypatch, tmp_path, small, needed):
    monkeypatch.setattr(install, "VENV", str(tmp_path / "none"))
    said = install.problem(free_bytes=1e9, small=small)
    assert f"needs {needed} GB of free disk, and there are 1.0 GB" in said
    assert install.problem(free_bytes=1e9 * needed, small=small) is None


def test_lessons_come_without_the_tools_of_the_tests_and_both_are_set_up_once(set_up, capsys):
    make, lessons = set_up()
    assert "venv" in make
    assert lessons.endswith(f"-e {set_up.root}")
    assert f"-c {set_up.root / 'requirements.lock'}" in lessons
    assert set_up() == []
    assert set_up("test")[-1].endswith(f"-e {set_up.root}[test]")
    assert set_up("test") == set_up() == []
    assert "Ready." in capsys.readouterr().out


def test_a_changed_list_is_installed_and_newest_ignores_the_lock(set_up, monkeypatch):
    set_up()
    (set_up.root / "requirements.lock").write_text("other versions")
    assert len(set_up()) == 1
    assert set_up() == []
    monkeypatch.setenv("NEWEST", "1")
    (newest,) = set_up()
    assert "-c" not in newest.split()


def test_a_folder_that_has_moved_is_mended_without_a_network_and_not_made_anew(set_up, capsys):
    set_up("test")
    moved = set_up.root.with_name("lessons 漢字")
    set_up.root.rename(moved)
    (mended,) = set_up(folder=moved)
    assert mended.endswith(f"--no-deps --no-build-isolation -e {moved}[test]")
    assert "has moved" in capsys.readouterr().out
    assert set_up(folder=moved) == []


def test_a_folder_that_has_moved_and_cannot_be_mended_so_is_set_up_again(set_up):
    set_up()
    moved = set_up.root.with_name("lessons")
    set_up.root.rename(moved)
    _, full = set_up(folder=moved, failing=["--no-build-isolation"])
    assert full.endswith(f"-c {moved / 'requirements.lock'} -e {moved}")
    assert set_up(folder=moved) == []


@pytest.mark.parametrize("found", [None, ["3", "13"]], ids=["gone", "another"])
def test_an_environment_whose_python_is_gone_is_made_anew(set_up, found):
    set_up()
    rest = set_up.root / ".venv" / "rest"
    rest.touch()
    set_up.there["version_info"] = found
    make, _ = set_up()
    assert "-m venv" in make
    assert not rest.exists()


@pytest.mark.parametrize("stamp", ["installed from pyproject.toml\n", '{"root": 1', "[]", '{"root": "/before"}'])
def test_an_environment_without_our_stamp_is_installed_into(set_up, stamp):
    set_up()
    (set_up.root / ".venv" / "ready").write_text(stamp)
    set_up.there["version_info"] = ["3", "13"]  # it may have been made by another Python
    (lessons,) = set_up()
    assert lessons.endswith(f"-e {set_up.root}")
    assert json.loads((set_up.root / ".venv" / "ready").read_text())["python"] == [3, 13]
    assert set_up() == []


def test_an_environment_that_was_broken_off_before_it_had_pip_gets_it(set_up):
    with pytest.raises(SystemExit, match="python3-venv"):
        set_up(failing=["-m venv"])
    set_up.there["pip"] = None
    pip, _ = set_up()
    assert pip.endswith("-m ensurepip")


def test_an_environment_with_an_old_python_is_told_so(set_up):
    set_up()
    (set_up.root / ".venv" / "ready").unlink()
    set_up.there["version_info"] = ["3", "9"]
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer, and this is 3\.9"):
        set_up()


def test_nothing_is_installed_into_the_environment_of_another_copy(set_up, tmp_path):
    set_up()
    copy = tmp_path / "copy"
    copy.mkdir()
    try:
        (copy / ".venv").symlink_to(set_up.root / ".venv", target_is_directory=True)
    except OSError:
        pytest.skip("this user may make no links")
    assert set_up("test", folder=copy) == []
    assert set_up() == []


def test_a_python_is_asked_what_it_has(monkeypatch, tmp_path):
    monkeypatch.setattr(install, "VENV", sys.prefix)
    assert install.version_there() == list(sys.version_info[:2])
    assert install.torch_there() == importlib.metadata.version("torch")
    assert install.asked("import no_such_module") is None
    monkeypatch.setattr(install, "VENV", str(tmp_path))
    assert install.version_there() is install.torch_there() is None


def test_the_small_torch_is_taken_where_its_index_answers(set_up, monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(install, "answers", lambda: True)
    _, torch, rest = set_up()
    assert torch.endswith(f"-c {install.LOCK} --no-deps --index-url {install.CPU_INDEX} torch torchvision")
    assert install.CPU_INDEX not in rest
    assert "the small torch is taken" in capsys.readouterr().out


def test_a_small_torch_that_fails_gives_way_to_the_ordinary_one(set_up, monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(install, "answers", lambda: True)
    assert len(set_up(failing=["--index-url"])) == 3
    assert "the ordinary one follows" in capsys.readouterr().out


@pytest.mark.parametrize(("there", "small"), [("2.13.0", False), ("2.13.0+cpu", True)])
def test_a_newer_torch_is_of_the_kind_that_is_there(set_up, there, small):
    set_up()
    set_up.there["torch"] = [there]
    (set_up.root / "requirements.lock").write_text("other versions")
    assert any(install.CPU_INDEX in call for call in set_up()) is small


@pytest.mark.parametrize(
    ("system", "card", "reached", "small", "said"),
    [
        ("linux", False, True, True, "small torch is taken"),
        ("linux", False, False, False, "does not answer"),
        ("linux", True, True, False, "an NVIDIA card"),
        ("darwin", False, True, False, ""),
        ("win32", True, True, False, ""),
    ],
)
def test_which_torch_is_taken_and_why(monkeypatch, system, card, reached, small, said):
    monkeypatch.setattr(install, "has_nvidia", lambda: card)
    monkeypatch.setattr(install, "answers", lambda: reached)
    taken, why = install.wants_small_torch(None, system)
    assert taken is small
    assert said in why


def test_an_index_answers_or_does_not_in_some_seconds():
    class Silent(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/whl/torch/" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    assert install.answers(f"{base}/whl", seconds=20)
    assert not install.answers(f"{base}/else", seconds=20)
    server.shutdown()
    server.server_close()
    assert not install.answers(f"{base}/whl", seconds=1)
    assert not install.answers("no address")


def test_uv_is_used_where_it_is(set_up, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/uv" if name == "uv" else None)
    make, lessons = set_up()
    assert make.startswith("/bin/uv venv")
    assert lessons.startswith(f"/bin/uv pip install --python {install.python_of(install.VENV)} -c ")


def test_uv_keeps_nothing_where_there_is_no_home(set_up, monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/uv" if name == "uv" else None)
    monkeypatch.delenv("UV_CACHE_DIR", raising=False)
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path / "none"))
    assert all("--no-cache" in call for call in set_up())


def test_no_network_ends_in_a_sentence_and_what_is_there_is_kept(set_up):
    with pytest.raises(SystemExit, match="no network"):
        set_up(failing=["pip install"])
    assert os.path.exists(install.python_of(install.VENV))
    assert not (set_up.root / ".venv" / "ready").exists()
    assert len(set_up()) == 1


# ---- A Python that is there already ----


@pytest.fixture
def there(monkeypatch, tmp_path):
    """A host's packages, as versions by name, to be changed; and the commands that are run, which succeed."""
    there = {
        "torch": "2.11.0+cpu",
        "torchvision": "0.26.0+cpu",
        "numpy": "2.1.3",
        "psutil": "5.9.5",
        "ipywidgets": "7.7.1",
    }
    there |= {name: low for name, low in install.lowest_versions().items() if name not in (*there, *install.FOR_LAB)}
    calls = []

    def run(command, **_):
        calls.append(command)
        return subprocess.CompletedProcess(command, run.code, "ERROR: no network\n")

    run.code = 0
    monkeypatch.setattr(install, "version_here", there.get)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(install, "DRIVE", str(tmp_path / "drive"))
    for name in ("COURSE_PROGRESS", "COURSE_GALLERY", "PYTHONPATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    there["run"], there["calls"] = run, calls
    return there


def test_only_what_is_missing_is_installed_beside_the_torch_that_is_there(there, capsys):
    del there["torchmetrics"], there["resvg-py"]
    install.ready()
    (command,) = there["calls"]
    words = command[command.index("install") :]
    low = install.lowest_versions()
    assert {f"torchmetrics>={low['torchmetrics']}", f"resvg-py>={low['resvg-py']}"} <= {*words}
    assert {"torch==2.11.0+cpu", "torchvision==0.26.0+cpu", "numpy==2.1.3"} <= {*words}
    assert not any(word.startswith(("psutil", "ipywidgets", "jupyterlab", "matplotlib")) for word in words)
    said = capsys.readouterr().out.splitlines()
    assert sorted(said[0].removeprefix("Installing what is missing here: ").removesuffix(" ...").split(", ")) == [
        "resvg-py",
        "torchmetrics",
    ]
    assert said[1:] == ["Ready."]


def test_where_nothing_is_missing_nothing_is_done_or_said(there, monkeypatch, capsys):
    monkeypatch.chdir(os.path.join(install.ROOT, "notebooks"))
    install.ready()
    assert there["calls"] == []
    assert capsys.readouterr().out == ""
    assert os.getcwd() == os.path.join(os.path.realpath(install.ROOT), "notebooks")


def test_the_kernel_and_what_it_starts_find_the_course(there, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    install.ready()
    assert os.path.samefile(os.getcwd(), os.path.join(install.ROOT, "notebooks"))
    assert os.environ["PYTHONPATH"].split(os.pathsep) == [install.ROOT, str(tmp_path)]
    install.ready()
    assert os.environ["PYTHONPATH"].count(install.ROOT) == 1
    assert "COURSE_PROGRESS" not in os.environ


def test_progress_is_kept_on_a_drive_that_is_mounted(there, tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: path == install.DRIVE)
    monkeypatch.setenv("COURSE_GALLERY", "mine")
    install.ready()
    assert os.environ["COURSE_PROGRESS"].startswith(os.path.join(install.DRIVE, "MyDrive"))
    assert os.environ["COURSE_GALLERY"] == "mine"


def test_what_cannot_be_installed_is_said_with_what_to_do(there, monkeypatch):
    del there["torchmetrics"]
    there["run"].code = 1
    with pytest.raises(RuntimeError, match=r"no network .*run this cell again. pip says:\nERROR: no network"):
        install.ready()
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    with pytest.raises(RuntimeError, match=r"needs Python 3\.11"):
        install.ready()


def test_a_host_is_known(monkeypatch):
    for variable in install.HOSTS:
        monkeypatch.delenv(variable, raising=False)
    assert install.host() == ""
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    assert install.host() == "Colab"
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")  # its machines have both
    assert install.host() == "Kaggle"
