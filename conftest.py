"""How the tests share the cores, and what is said of those that could not run for want of a tool."""

import pytest

import helpers  # noqa: F401  before torch: it sets how many threads each process has

SLOW = {  # files of tests that train, draw for long, or open a browser
    *("browser", "comparison", "diffusion", "faces", "flow", "gan", "homework", "hybrids", "judge", "lab"),
    *("latent_diffusion", "models", "site", "sweep", "training", "vae"),
}
TOOLS = {  # why a test skips itself, and what brings the tool that it misses
    "no Chromium on this machine": "apt install chromium",
    "no npm on this machine": "apt install nodejs npm",
    "KaTeX is not fetched": "make site, once, with a network",
}


def pytest_addoption(parser):
    parser.addoption("--nothing-skipped", action="store_true", help="fail where a test skips for want of a tool")


def pytest_collection_modifyitems(items):
    """Notebooks go first: each stays in one process, and the shorter files of tests fill what is left."""
    for item in items:
        if item.path.stem.removeprefix("test_") in SLOW:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: (item.path.suffix != ".ipynb", "slow" not in item.keywords))


def missing(config):
    """For each tool that is not here, how many tests were skipped for want of it."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")  # of several processes, only the first has one
    skipped = reporter.stats.get("skipped", []) if reporter else []
    reasons = [report.longrepr[2].removeprefix("Skipped: ") for report in skipped]
    return {reason: reasons.count(reason) for reason in TOOLS if reason in reasons}


def pytest_sessionfinish(session):
    if session.config.option.nothing_skipped and missing(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config):
    for reason, count in missing(config).items():
        print(f"{count} tests skipped, {reason}: {TOOLS[reason]}")
