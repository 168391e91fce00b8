"""Who may import whom: the library never its callers, and inside it only downwards."""

import ast
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path

import grimp
import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parents[2]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
SOURCES = sorted(path for folder in ("dormancy", "cli", "agents") for path in (ROOT / folder).rglob("*.py"))


def test_the_arrows_hold(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    for folder in ("agents", "cli", "."):
        monkeypatch.syspath_prepend(str(ROOT / folder))
    assert lint_imports(no_cache=True) == 0, capsys.readouterr().out


PACKAGES = {"dormancy": "dormancy", "dormancy_cli": "cli/dormancy_cli", "dormancy_agents": "agents/dormancy_agents"}
LONGER = {"dormancy/graph/assemble.py": 565}
"""Files that are longer than a module should be, with their limit: to be split, not to grow."""
LAYERS = [each for each in CONFIG["importlinter"]["contracts"] if each["type"] == "layers"]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_part_of_a_package_has_its_place_in_the_order(package: str) -> None:
    """A module that no contract lists would be free to import anything."""
    names = {name.strip() for contract in LAYERS for layer in contract["layers"] for name in layer.split("|")}
    folder = ROOT / PACKAGES[package]
    parts = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    listed = {name.partition(".")[2] for name in names if name.startswith(f"{package}.")}
    assert parts - {"__init__", "__main__"} == listed


def test_every_part_of_io_has_its_place_in_the_order() -> None:
    (contract,) = (each for each in LAYERS if each.get("containers") == ["dormancy.io"])
    listed = {name.strip() for layer in contract["layers"] for name in layer.split("|")}
    folder = ROOT / "dormancy" / "io"
    parts = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert parts - {"__init__"} == listed


def test_no_files_import_each_other_in_a_circle() -> None:
    """Imports for type checkers and imports inside functions count as well."""
    graph = grimp.build_graph(*PACKAGES, include_external_packages=False, cache_dir=None)
    arrows = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    circles = [sorted(group) for group in circles_of(arrows)]
    assert not circles


def circles_of(arrows: Mapping[str, Collection[str]]) -> list[list[str]]:
    """Return the groups of modules that reach each other (Tarjan 1972)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        stack.append(module)
        for other in arrows[module]:
            if other not in order:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in stack:
                lowest[module] = min(lowest[module], order[other])
        if lowest[module] == order[module]:
            group = [stack.pop()]
            while group[-1] != module:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(group)

    for module in arrows:
        if module not in order:
            visit(module)
    return found


def test_a_circle_would_be_found() -> None:
    assert [sorted(each) for each in circles_of({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]})] == [["a", "b", "c"]]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_unpickles(path: Path) -> None:
    """A file is data, never code: the modules and arguments that would make it code appear nowhere."""
    tree = ast.parse(path.read_text())
    names = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    imported = {
        alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    } | {str(node.module).partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    unsafe = [
        keyword
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if (keyword.arg, getattr(keyword.value, "value", None)) in (("weights_only", False), ("allow_pickle", True))
    ]
    assert not imported & {"cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    assert {name for name in names if name.startswith("pickle.")} <= {"pickle.UnpicklingError"}
    assert not ({name.rpartition(".")[2] for name in names} | named) & {"add_safe_globals", "safe_globals", "Unpickler"}
    assert not unsafe


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_torch_load_always_says_weights_only(path: Path) -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"
    ]
    for call in calls:
        assert {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}.get("weights_only") == "True"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_is_a_dumping_ground(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGER.get(str(path.relative_to(ROOT)), 350)
