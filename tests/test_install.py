"""The set-up says in one plain sentence what stands in its way."""

import subprocess
import sys

import pytest

from helpers import install


def test_an_old_python_is_told_so():
    assert "needs Python 3.11 or newer, and this is 3.9" in install.problem(version=(3, 9))


def test_a_full_disk_is_told_so(monkeypatch, tmp_path):
    monkeypatch.setattr(install, "VENV", str(tmp_path / "none"))
    assert "needs 8 GB of free disk, and there are 1.0 GB" in install.problem(free_bytes=1e9)


def test_nothing_stands_in_the_way_here():
    assert install.problem() is None


def test_no_network_ends_in_a_sentence(monkeypatch, tmp_path, capfd):
    """pip is sent to an index that does not answer; the environment made so far is kept."""
    monkeypatch.setattr(install, "VENV", str(tmp_path / "venv"))
    monkeypatch.setattr(install, "problem", lambda: None)
    real_call = subprocess.call

    def call(command):
        if "pip" not in command:
            return real_call(command)
        return real_call([sys.executable, "-c", "import sys; sys.exit('no route to the index')"])

    monkeypatch.setattr(subprocess, "call", call)
    with pytest.raises(SystemExit, match="no network"):
        install.main()
    assert (tmp_path / "venv").exists()
    assert not (tmp_path / "venv" / "ready").exists()
