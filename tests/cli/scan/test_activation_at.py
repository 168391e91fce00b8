"""`dormancy scan --activation-at`: a nonlinearity that a network of one's own writes out, named on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dormancy.io import ReplaySample, save_sample
from tests.cli.runs import Dormancy

CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x):
        return self.c(self.a(x) * torch.sigmoid(self.b(x)))
"""


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Save the weights and a sample of a network with a gated linear unit; give the arguments that scan it."""
    (tmp_path / "my_gated_network.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    torch.manual_seed(1)
    layers = {"a": nn.Linear(4, 6), "b": nn.Linear(4, 6), "c": nn.Linear(6, 2)}
    torch.save(nn.ModuleDict(layers).state_dict(), tmp_path / "net.pt")
    rows = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)
    save_sample(tmp_path / "s.h5", ReplaySample(rows))
    return ["scan", "net.pt", "--sample", "s.h5", "--model", "my_gated_network:Net", "--format", "json"]


def test_a_product_is_scored_where_it_is_named(dormancy: Dormancy, arguments: list[object]) -> None:
    without = dormancy(*arguments)
    assert without.code == 0, without.err
    named = dormancy(*arguments, "--activation-at", "mul=glu")
    assert named.code == 0, named.err
    (unnamed,) = json.loads(without.out)["runs"][0]["scans"]
    (scan,) = json.loads(named.out)["runs"][0]["scans"]
    assert [layer["scores"] for layer in unnamed["layers"]] == [layer["scores"] for layer in scan["layers"]]
    assert [layer["activation"] for layer in scan["layers"]] == ["glu"]
    assert {"what": "activation at mul", "value": "glu", "origin": "flag"} in scan["assumptions"]
    assert "multiplies" not in named.err + without.err


@pytest.mark.parametrize("place", ["mul", "=glu", "nowhere=glu"])
def test_a_place_that_is_none_is_a_usage_error(dormancy: Dormancy, arguments: list[object], place: str) -> None:
    done = dormancy(*arguments, "--activation-at", place)
    assert done.code == 2
    assert "Traceback" not in done.err
