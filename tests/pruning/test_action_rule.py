"""How networks of other libraries act, as these libraries use what the network gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from dormancy.io import Checkpoint, ReplaySample
from dormancy.networks import NetworkSpec
from dormancy.pruning import Policy, policy_of, prune_checkpoint
from tests.io.checkpoints.recorded_outputs import CASES, inputs, load

LARGEST, UNIT, SQUASHED, PLAIN = (Policy(0, choice) for choice in ("largest", "unit", "squashed", "plain"))  # type: ignore[arg-type]
KNOWN = {
    "sb3_dqn.zip|q_net": LARGEST,
    "sb3_qrdqn.zip|quantile_net": None,
    "sb3_sac.zip|actor": SQUASHED,
    "sb3_sac.zip|critic": None,
    "sb3_td3.zip|actor": UNIT,
    "sb3_td3.zip|critic": None,
    "dueling.pt|": LARGEST,
    "dqn_atari.cleanrl_model|": LARGEST,
    "ppo_atari.cleanrl_model|": LARGEST,
    "td3.cleanrl_model|0": UNIT,
    "sac.pt|actor": SQUASHED,
    "drq.pt|actor": None,
    "drq.pt|critic": None,
    "impala_procgen.cleanrl_model|": LARGEST,
    "impala_atari.cleanrl_model|": LARGEST,
    "module_atari.pt|": LARGEST,
    "module_sequence.pt|": None,
}


@pytest.mark.parametrize("case", [case for case in CASES if case in KNOWN])
def test_networks_of_other_libraries(case: str) -> None:
    assert policy_of(load(case)) == KNOWN[case]


def test_enough_of_them_are_there() -> None:
    assert len(KNOWN.keys() & set(CASES)) >= 8


def test_our_own_networks_have_a_value_for_each_action() -> None:
    assert policy_of(Checkpoint(NetworkSpec("nature", {"outputs": 4}), {})) == LARGEST


def test_nobody_knows_what_your_own_code_outputs() -> None:
    mine = replace(Checkpoint(NetworkSpec("my.module:net"), {}), factory=lambda: nn.Linear(2, 2))
    assert policy_of(mine) is None


@pytest.mark.parametrize("case", ["sb3_sac.zip|critic", "sb3_td3.zip|actor", "sb3_qrdqn.zip|quantile_net"])
def test_agreement_of_actions_is_blank_where_there_are_none(case: str) -> None:
    arrays = {name: tensor.numpy() for name, tensor in inputs(case).items()}
    sample = ReplaySample(arrays["observations"], actions=arrays.get("actions"))
    found = prune_checkpoint(load(case), sample, 0.3, keep_one=True, draws=0)
    assert found.effect.sample.agreement is None
    assert np.isfinite(found.effect.sample.largest)
