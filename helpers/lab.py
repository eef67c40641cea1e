"""Open the course in JupyterLab: ``python -m helpers.lab``, or ``make lab``, starts a server and says where it is.

It listens on this machine alone, and lets in whoever has its token, which is part of the address.
"""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
FIRST = "notebooks/00_start_here.ipynb"
HOST = "127.0.0.1"
OPTIONS = [
    "--no-browser",  # we open it ourselves, where there is one
    f"--ServerApp.ip={HOST}",
    "--ServerApp.answer_yes=True",  # Ctrl-C ends it without a question
    "--ServerApp.contents_manager_class=helpers.contents.CourseContents",
    "--LabApp.news_url=None",  # no network at run time
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    f"--ServerApp.root_dir={ROOT}",
]


def main(arguments: list[str]) -> int:
    """Start the server, say where it is, and wait until it ends.

    Args:
        arguments: handed on to JupyterLab, such as ``--port=9000``.

    Returns:
        The exit code.
    """
    token = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True) as folder:
        runtime, log = Path(folder), Path(folder) / "lab.log"
        environment = with_home(os.environ, runtime) | {"JUPYTER_RUNTIME_DIR": folder, "JUPYTER_TOKEN": token}
        root = ["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
        command = [sys.executable, "-m", "jupyterlab", *OPTIONS, *root, *arguments]
        with log.open("wb") as written:  # it says much that is no news to a learner
            server = subprocess.Popen(command, env=environment, stdout=written, stderr=subprocess.STDOUT)
        try:
            port = wait_for_port(server, runtime)
            if port is not None:
                say_where(f"http://{HOST}:{port}/lab/tree/{FIRST}?token={token}", port)
            if server.wait() != 0:
                sys.stderr.write(log.read_text(encoding="utf-8", errors="replace"))
                print("JupyterLab has ended by itself; the lines above say why.", file=sys.stderr)
            return server.returncode
        except KeyboardInterrupt:
            return 0
        finally:
            server.terminate()  # it shuts its kernels down
            with contextlib.suppress(KeyboardInterrupt):
                server.wait()


def with_home(environment: Mapping[str, str], spare: Path) -> dict[str, str]:
    """The environment, with another home where that of the user cannot be written to.

    Jupyter, IPython and matplotlib keep settings at home, and stop or complain where they cannot.
    """
    home = Path(os.path.expanduser("~"))
    if home.is_dir() and os.access(home, os.W_OK):
        return dict(environment)
    kept = ROOT / "data" / "cache" / "home"
    try:
        kept.mkdir(parents=True, exist_ok=True)
    except OSError:
        kept = spare
    return dict(environment) | {"HOME": str(kept)}


def wait_for_port(server: subprocess.Popen, runtime: Path) -> int | None:
    """The port on which the server listens, from the file that it writes when it is ready; None if it ends before."""
    while server.poll() is None:
        for file in runtime.glob("jpserver-*.json"):
            with contextlib.suppress(ValueError, KeyError):  # it is being written
                return json.loads(file.read_text(encoding="utf-8"))["port"]
        time.sleep(0.02)
    return None


def say_where(address: str, port: int) -> None:
    """Open a browser if there is one. Print how the server is reached and, as the last line, its address."""
    print("JupyterLab runs until you press Ctrl-C here.")
    if browser_here(os.environ):
        print("It opens in your browser. If it does not, open this address there:")
        webbrowser.open(address)
    else:
        print(elsewhere(os.environ, port))
    print(f"\n    {address}\n", flush=True)


def browser_here(environment: Mapping[str, str], system: str = sys.platform) -> bool:
    """Whether a browser can open a window on this machine."""
    if system.startswith("linux") and not any(environment.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")):
        return False  # all there could be is a browser for terminals
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def elsewhere(environment: Mapping[str, str], port: int) -> str:
    """How to reach the server from the machine that has the browser."""
    if environment.get("SSH_CONNECTION"):
        host = environment["SSH_CONNECTION"].split()[2]
        user = environment.get("USER", "you")
        command = f"ssh -L {port}:{HOST}:{port} {user}@{host}"
        return (
            f"You came by SSH. In a terminal on your own computer run\n\n    {command}\n\nand open this address there:"
        )
    if any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv")) or environment.get("CODESPACES"):
        return (
            f"This is a container. Forward port {port}: VS Code and Codespaces do it under Ports; docker does it for a "
            "container started with `--network host`.\nThen open this address in your browser:"
        )
    return "There is no browser here. Open this address in one on this machine:"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
