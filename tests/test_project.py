"""The rules of the house for the project: one list of dependencies, imports that point one way, no pickle."""

import ast
import graphlib
import hashlib
import itertools
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.readme_pictures import LAYERS
from tests.test_notebooks import NOTEBOOKS, ROOT, code_cells, python, read

HELPERS = sorted((ROOT / "helpers").rglob("*.py"))
WORLDS = {"captions", "dogs", "faces", "pictures", "palette", "layers"}
# What each layer may not import; `models` and `checks` stand for all the files in them.
ABOVE_TRAINING = {"judge", "checkpoints", "figures", "widgets", "checks"}
ABOVE_MODELS = {"training", *ABOVE_TRAINING}
FORBIDDEN = {name: {"models", *ABOVE_MODELS} for name in WORLDS}
FORBIDDEN |= {"models": ABOVE_MODELS, "training": ABOVE_TRAINING}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# ---- What is installed ----


def test_environment_adds_nothing_to_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment.keys() == {"name", "channels", "dependencies"}
    assert environment["name"] == project["name"]
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    python, *others = environment["dependencies"]
    assert others == ["pip", {"pip": ["-e ."]}]
    assert Requirement(python) == Requirement(f"python{project['requires-python']}")


PYTHONS, SYSTEMS = ("3.11", "3.12", "3.13", "3.14"), {"Linux": "linux", "Darwin": "darwin", "Windows": "win32"}


def pinned(lock: str, python: str, system: str) -> dict[str, str]:
    """The versions that a lock names for a Python and a system."""
    where = {"python_version": python, "python_full_version": f"{python}.1", "platform_system": system}
    where |= {"sys_platform": SYSTEMS[system], "os_name": "nt" if system == "Windows" else "posix"}
    found = {}
    for line in lock.splitlines():
        if line.strip() and not line.strip().startswith("#"):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate(where):
                (exact,) = requirement.specifier
                assert exact.operator == "=="
                found[canonicalize_name(requirement.name)] = exact.version
    return found


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_has_a_right_version_of_all_that_is_asked_for(python, system):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = pinned((ROOT / "requirements.lock").read_text(encoding="utf-8"), python, system)
    for asked in itertools.chain(project["dependencies"], *project["optional-dependencies"].values()):
        requirement = Requirement(asked)
        version = versions.get(canonicalize_name(requirement.name))
        assert version in requirement.specifier if version else False, f"{asked}: locked {version}; run `make lock`"


def test_a_lock_that_parts_from_the_list_is_noticed():
    lock = "numpy==2.4.6 ; python_full_version < '3.12'\nnumpy==2.5.5 ; python_full_version >= '3.12'\n# numpy==1\n"
    assert pinned(lock, "3.11", "Linux") == {"numpy": "2.4.6"}
    assert pinned(lock, "3.13", "Windows") == {"numpy": "2.5.5"}
    assert pinned("torch==2.9 ; sys_platform == 'linux'", "3.11", "Darwin") == {}


def test_there_is_a_readme():
    assert (ROOT / "README.md").is_file()


def test_no_file_in_git_is_large():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git repository")
    files = [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    assert [name_of(file) for file in files if file.stat().st_size > 5_000_000] == []


# ---- Imports ----


def imports(source: str, module: str, modules: set[str]) -> set[str]:
    """The modules that a source imports, wherever in it.

    Args:
        module: the dotted name of the module with this source; a relative import starts from there.
        modules: every module of helpers, to tell ``from helpers import dogs``, a module, from a function.
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(module.split(".")[: -node.level]) if node.level else ""
            base = ".".join(filter(None, [start, node.module]))
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= (names & modules) or {base}
    return found


def import_graph(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """What each module imports, given the sources by dotted name, a package as ``package.__init__``."""
    modules = {module.removesuffix(".__init__") for module in sources}
    return {module.removesuffix(".__init__"): imports(source, module, modules) for module, source in sources.items()}


def wrong_imports(graph: Mapping[str, set[str]]) -> list[str]:
    """The imports that point the wrong way, as ``"a imports b"``."""
    return [
        f"{module} imports {target}"
        for module, targets in sorted(graph.items())
        for target in sorted(targets)
        if target.split(".")[0] in ("tests", "notebooks")
        or (target.startswith("helpers.") and target.split(".")[1] in FORBIDDEN.get(layer(module), ()))
    ]


def layer(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@pytest.fixture
def graph():
    return import_graph(
        {name_of(path).removesuffix(".py").replace("/", "."): path.read_text(encoding="utf-8") for path in HELPERS}
    )


def test_imports_point_one_way(graph):
    assert wrong_imports(graph) == []


def test_the_picture_of_the_layers_is_true(graph):
    height = {module: -row for row, modules in enumerate(LAYERS.values()) for module in modules}
    assert sorted(height) == sorted({layer(module) for module in graph} - {""})
    upwards = [
        f"{module} imports {target}"
        for module, targets in graph.items()
        for target in targets
        if layer(module) and layer(target) in height and height[layer(module)] < height[layer(target)]
    ]
    assert not upwards


def test_imports_make_no_circle(graph):
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("helpers.dogs", "from helpers import judge", "helpers.dogs imports helpers.judge"),
        ("helpers.dogs", "from helpers.judge import valid", "helpers.dogs imports helpers.judge"),
        (
            "helpers.dogs",
            "def f():\n    import helpers.models.vae",
            "helpers.dogs imports helpers.models.vae",
        ),
        ("helpers.dogs", "from . import training", "helpers.dogs imports helpers.training"),
        ("helpers.models.vae", "from ..training import fit", "helpers.models.vae imports helpers.training"),
        ("helpers.models.__init__", "from ..training import fit", "helpers.models imports helpers.training"),
        ("helpers.training", "from helpers.checks import vae", "helpers.training imports helpers.checks"),
        ("helpers.figures", "from tests import execute", "helpers.figures imports tests"),
        ("helpers.dogs", "from helpers import captions, layers", None),
        ("helpers.models.vae", "from helpers import dogs, layers", None),
        ("helpers.training", "from helpers.models import vae", None),
        ("helpers.figures", "from helpers import dogs, judge, models, training", None),
    ],
)
def test_an_import_that_points_the_wrong_way_is_found(module, source, wrong):
    files = ("dogs", "judge", "training", "figures", "captions", "layers", "models.__init__", "models.vae")
    graph = import_graph({f"helpers.{name}": "" for name in files} | {module: source})
    assert wrong_imports(graph) == ([wrong] if wrong else [])


def test_a_circle_is_found():
    graph = import_graph({"helpers.dogs": "from helpers import faces", "helpers.faces": "from .dogs import draw"})
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("chosen", [{}, {"GOMP_SPINCOUNT": "7"}, {"OMP_NUM_THREADS": "3"}])
def test_helpers_set_threads_before_torch_is_loaded_unless_somebody_did(chosen):
    names = ("OMP_NUM_THREADS", "GOMP_SPINCOUNT")
    environment = {name: value for name, value in os.environ.items() if name not in names} | chosen
    code = f"import helpers, os, sys; assert 'torch' not in sys.modules; print(*(os.environ[n] for n in {names}))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    set_by_helpers = {"OMP_NUM_THREADS": str(max(1, cores // 2)), "GOMP_SPINCOUNT": "4000"}
    assert run.stdout.split() == list((set_by_helpers | chosen).values()), run.stderr


# ---- Docstrings ----


def undocumented(tree: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[str]:
    """The public functions, classes and methods without a docstring."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield prefix + node.name
            if isinstance(node, ast.ClassDef):
                yield from undocumented(node, f"{node.name}.")


@pytest.mark.parametrize("path", HELPERS, ids=name_of)
def test_what_is_public_has_a_docstring(path):
    assert list(undocumented(ast.parse(path.read_text(encoding="utf-8")))) == []


def test_a_missing_docstring_is_found():
    source = "def f(): ...\ndef _g(): ...\nclass A:\n 'Yes.'\n def m(self): ...\n def __init__(self): ...\n"
    assert list(undocumented(ast.parse(source))) == ["f", "A.m"]


# ---- No file may run code when it is read ----


def pickle_risks(source: str) -> list[str]:
    """The places in a source that could unpickle a file, each as code."""
    nodes = list(ast.walk(ast.parse(source)))
    calls = [node for node in nodes if isinstance(node, ast.Call) and unpickles(node)]
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    return [ast.unparse(node) for node in calls] + [
        ast.unparse(node)
        for node in imports
        if "pickle" in (getattr(node, "module", None), *(alias.name for alias in node.names))
    ]


def unpickles(call: ast.Call) -> bool:
    """Whether a call lets numpy or torch read a pickle."""
    options = {option.arg: ast.unparse(option.value) for option in call.keywords}
    if ast.unparse(call.func) == "torch.load":
        return options.get("weights_only") != "True"
    return options.get("allow_pickle", "False") != "False"


@pytest.mark.parametrize("path", HELPERS, ids=name_of)
def test_no_helper_reads_a_pickle(path):
    assert pickle_risks(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_no_notebook_reads_a_pickle(path):
    assert [risk for cell in code_cells(read(path)) for risk in pickle_risks(python(cell))] == []


@pytest.mark.parametrize(
    ("source", "risky"),
    [
        ("torch.load(path)", True),
        ("torch.load(path, weights_only=False)", True),
        ("torch.load(path, weights_only=True)", False),
        ("np.load(path, allow_pickle=True)", True),
        ("np.load(path, allow_pickle=False)", False),
        ("import pickle", True),
        ("from pickle import loads", True),
        ("safetensors.torch.load_file(path)", False),
    ],
)
def test_a_pickle_is_found(source, risky):
    assert bool(pickle_risks(source)) is risky


# ---- How it is said ----

TURNS = re.compile(  # of another language, or of another century, each with what is said instead
    r"\bforet(?:ell|old)|"  # predict
    r"\bwhoever\b|"  # the one who
    r"\bin the mean\b|"  # on average
    r"\bin the light of\b|"  # given
    r"\bresting point|"  # equilibrium
    r"\bmakes? do\b|"  # is enough
    r"\b(?:has|have|had) no say\b|"  # changes nothing
    r"\bthe (?:one|other)'s\b|"  # name them
    r"\btalked round\b|"  # fooled
    r"\bwhat is bent\b|\bless daring\b|\bon the bill\b|\bthe least that can be\b|\bdo not wonder\b",
    re.IGNORECASE,
)


def texts() -> dict[str, str]:
    """Everything that somebody reads: prose, code and outputs of notebooks, Markdown, Python."""
    folders = (ROOT / name for name in ("helpers", "publish", "tests"))
    files = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        ROOT / "data" / "README.md",
        *(path for f in folders for path in f.rglob("*.py")),
    ]
    found = {name_of(path): path.read_text(encoding="utf-8") for path in files if path != Path(__file__)}
    for path in NOTEBOOKS:
        nb = read(path)
        said = [text for cell in nb.cells for output in cell.get("outputs", []) for text in [output.get("text", "")]]
        found[name_of(path)] = "\n".join([*(cell.source for cell in nb.cells), *said])
    return found


def test_nothing_is_said_in_turns_that_have_to_be_read_twice():
    found = [f"{name}: {turn[0]!r}" for name, text in texts().items() for turn in TURNS.finditer(text)]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("text", ["Whoever draws", "as it foretold", "0 in the mean if", "the one's dogs", "make do"])
def test_such_a_turn_is_found(text):
    assert TURNS.search(text)


# ---- What is shipped ----


def test_what_data_ships_is_listed_with_its_hash():
    text = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    listed = {name: digest for digest, name in re.findall(r"^([0-9a-f]{64})  (\S+)$", text, re.MULTILINE)}
    shipped = [path for folder in ("checkpoints", "pictures") for path in (ROOT / "data" / folder).iterdir()]
    assert listed == {
        path.relative_to(ROOT / "data").as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in shipped
    }
