"""How the tests share the cores, and what is said of those that could not run for want of a tool."""

import pytest

import helpers  # noqa: F401  before torch: it sets how many threads each process has

SPREAD = {"test_exercises.py", "test_notebooks.py", "test_pictures.py"}  # many, short, and with nothing in common
TOOLS = {  # why a test skips itself, and what brings the tool that it misses
    "no Chromium on this machine": "apt install chromium",
    "no npm on this machine": "apt install nodejs npm",
    "KaTeX is not fetched": "make site, once, with a network",
}


def pytest_addoption(parser):
    parser.addoption("--nothing-skipped", action="store_true", help="fail where a test skips for want of a tool")


def pytest_collection_modifyitems(items):
    """The longest go first. What shares a kernel or a fixture stays in one process."""
    for item in items:
        if item.path.name not in SPREAD:
            item.add_marker(pytest.mark.xdist_group(item.path.name))
    items.sort(key=lambda item: (item.path.suffix != ".ipynb", item.path.name in SPREAD))


def missing(config):
    """For each tool that is not here, how many tests were skipped for want of it."""
    skipped = config.pluginmanager.get_plugin("terminalreporter").stats.get("skipped", [])
    reasons = [report.longrepr[2].removeprefix("Skipped: ") for report in skipped]
    return {reason: reasons.count(reason) for reason in TOOLS if reason in reasons}


def pytest_sessionfinish(session):
    if session.config.option.nothing_skipped and missing(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config):
    if hasattr(config, "workerinput"):  # one of several processes: the first of them speaks for all
        return
    for reason, count in missing(config).items():
        print(f"{count} tests skipped, {reason}: {TOOLS[reason]}")
