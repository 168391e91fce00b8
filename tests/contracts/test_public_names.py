"""The surface of `import dormancy`: what is promised is there, is one thing, and is found by tools."""

import ast
import importlib
import inspect
import pkgutil

import pytest

import dormancy


@pytest.mark.parametrize("name", dormancy.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert getattr(dormancy, name) is not None


def test_names_are_sorted_and_listed() -> None:
    assert dormancy.__all__ == sorted(dormancy.__all__)
    assert dir(dormancy) == dormancy.__all__


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(inspect.getsource(dormancy))
    guarded = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for block in guarded for node in block.body if isinstance(node, ast.ImportFrom)]
    homes = {alias.name: node.module for node in imports for alias in node.names}
    assert {*homes, "__version__"} == set(dormancy.__all__)
    for name, home in homes.items():
        assert getattr(dormancy, name) is getattr(importlib.import_module(str(home)), name)


def test_no_submodule_hides_a_public_name() -> None:
    submodules = {module.name for module in pkgutil.iter_modules(dormancy.__path__)}
    assert "scanning" in submodules
    assert not submodules & set(dormancy.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'dormancy' has no attribute 'scam'"):
        _ = dormancy.scam  # type: ignore[attr-defined]
