"""Who may import whom: the library never its callers, and inside it only downwards."""

import ast
import tomllib
from pathlib import Path

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


def test_every_part_of_the_library_has_its_place_in_the_order() -> None:
    """A module that the contract does not list would be free to import anything."""
    (layers,) = (contract for contract in CONFIG["importlinter"]["contracts"] if contract["type"] == "layers")
    listed = {name.strip().removeprefix("dormancy.") for layer in layers["layers"] for name in layer.split("|")}
    parts = {
        path.stem for path in (ROOT / "dormancy").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert parts - {"__init__"} == listed


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
    assert len(path.read_text().splitlines()) <= 350
