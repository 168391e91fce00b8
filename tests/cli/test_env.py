"""`dormancy env`: the versions that results depend on."""

import json
from importlib.metadata import version

import pytest
import torch

from dormancy_cli import env
from tests.cli.runs import Dormancy


def test_versions_are_those_installed(dormancy: Dormancy) -> None:
    found = json.loads(dormancy("env", "--format", "json").out)
    assert found["schema"] == "dormancy.env/1"
    for package in ("numpy", "h5py", "typer"):
        assert found[package] == version(package)
    assert found["torch threads"] == str(torch.get_num_threads())


def test_every_line_names_one_thing(dormancy: Dormancy) -> None:
    lines = dormancy("env").out.splitlines()
    assert {line.split()[0] for line in lines} >= {"dormancy", "python", "torch", "cuda"}
    assert len({line.index(line.split("  ")[-1].strip()) for line in lines if line.startswith(("numpy", "h5py"))}) == 1


def test_a_missing_extra_is_told_not_raised(dormancy: Dormancy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, "PACKAGES", ("no-such-package",))
    assert "no-such-package  not installed" in dormancy("env").out
