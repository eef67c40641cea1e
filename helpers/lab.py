"""Open the course in JupyterLab: ``python -m helpers.lab``, or ``make lab``, starts a server and says where it is.

It listens on this machine alone, and lets in only those who have its token, a part of the address. What else stands on
the command line is handed on to JupyterLab, such as ``--port=9000``.
"""

import argparse
import contextlib
import os
import secrets
import signal
import sys
import tempfile
import webbrowser
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
FIRST = "lab/tree/notebooks/00_start_here.ipynb"
HOST = "127.0.0.1"
OPTIONS = [
    "--allow-root",  # in a container, a codespace or on a rented machine one is root
    "--ServerApp.log_level=ERROR",
    "--LabApp.log_level=ERROR",
    "--ServerApp.contents_manager_class=helpers.server.CourseContents",
    "--AsyncMappingKernelManager.kernel_manager_class=helpers.server.CourseKernel",
    "--LabApp.news_url=None",  # no network at run time
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    f"--LabApp.default_url=/{FIRST}",
    f"--ServerApp.root_dir={ROOT}",
]


def main(arguments: list[str]) -> None:
    """Start the server, say where it is, and wait until it ends.

    Args:
        arguments: ``--ip``, and whatever else JupyterLab knows.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--ip", default=HOST)
    known, others = parser.parse_known_args(arguments)
    token = secrets.token_hex(16)
    options = [*OPTIONS, f"--ServerApp.ip={known.ip}", f"--IdentityProvider.token={token}", *others]
    if not browser_here(os.environ):
        options.append("--no-browser")
    with tempfile.TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True) as spare:
        os.environ.update(folders(os.environ, Path(os.path.expanduser("~")), Path(spare)))
        # It checks a kind of web address that JupyterLab never asks about, and takes half of the start to import.
        sys.modules["rfc3987_syntax"] = None
        with contextlib.suppress(KeyboardInterrupt):
            from jupyterlab.labapp import LabApp

            server = LabApp.initialize_server(options)
            end_at_once()
            # The loop calls this once it runs, and with it the server.
            server.io_loop.add_callback(say_where, server.port, token, server.open_browser)
            server.start()


def end_at_once() -> None:
    """Let Ctrl-C and a closed terminal end the server as SIGTERM does: without a question, and its kernels with it."""
    for name in ("SIGINT", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number and signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.getsignal(signal.SIGTERM))


def folders(environment: Mapping[str, str], home: Path, spare: Path) -> dict[str, str]:
    """The variables that name the folders of Jupyter, IPython and matplotlib, where those at home will not do.

    What JupyterLab hands to the browser always lies with the course: a browser from a snap, such as Ubuntu's, sees no
    hidden folder.

    Args:
        home: the user's home; it need not exist.
        spare: a folder for what can be kept neither at home nor with the course.
    """
    kept = ROOT / "data" / "cache" / "jupyter"
    try:
        kept.mkdir(mode=0o700, parents=True, exist_ok=True)  # the token is in there
    except OSError:
        kept = spare
    if not os.access(kept, os.W_OK):
        kept = spare
    at_home = {
        "JUPYTER_CONFIG_DIR": [".jupyter"],
        "JUPYTER_DATA_DIR": [".local/share/jupyter", "Library/Jupyter"],
        "IPYTHONDIR": [".ipython"],
        "MPLCONFIGDIR": [".config/matplotlib", ".cache/matplotlib", ".matplotlib"],
    }
    wrong = [name for name, places in at_home.items() if not all(can_be_kept(home / place, home) for place in places)]
    return {n: str(kept / n.lower()) for n in ["JUPYTER_RUNTIME_DIR", *wrong] if n not in environment}


def can_be_kept(folder: Path, home: Path) -> bool:
    """Whether a folder below an existing home can be written to or, if it is not there, made."""
    # Those of os.path say no, and do not fail, where another user's home may not be looked into.
    nearest = next((place for place in (folder, *folder.parents) if os.path.exists(place)), home)
    return os.path.isdir(home) and os.path.isdir(nearest) and os.access(nearest, os.W_OK | os.X_OK)


def say_where(port: int, token: str, opens: bool) -> None:
    """Print how the server is reached and, as the last line, its address."""
    print("JupyterLab runs until you press Ctrl-C here.")
    if opens:
        print("It opens in your browser. If it does not, open this address there:")
    else:
        print(elsewhere(os.environ, port))
    print(f"\n    http://{HOST}:{port}/{FIRST}?token={token}\n", flush=True)


def browser_here(environment: Mapping[str, str], system: str = sys.platform) -> bool:
    """Whether a browser can open a window on this machine."""
    if system.startswith("linux") and not any(environment.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")):
        return False  # all there could be is a browser for terminals
    if system == "darwin" and environment.get("SSH_CONNECTION"):
        return False  # the window would open in front of nobody
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
            f"This is a container. Forward port {port}: VS Code and Codespaces do it under Ports. For docker, start "
            f"the container with\n\n    docker run -p {HOST}:{port}:{port} ...\n\nand the course in it with "
            "`make lab ARGS=--ip=0.0.0.0`. Then open this address in your browser:"
        )
    return "There is no browser here. Open this address in one on this machine:"


if __name__ == "__main__":
    main(sys.argv[1:])
