"""Networks that share neurons are recycled for all that read them; twins stay independent."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dormancy.graph import trace_neurons
from dormancy.recycle import Joint, ReDo
from tests.recycle.helpers import mlp, outputs, same, silence_some


class Agent:
    """A shared encoder, a policy head, and twin critics that also read the action, with three optimizers."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(6, 10), nn.ReLU())
        self.actor = mlp(sizes=(10, 8, 2))
        self.q1, self.q2 = mlp(sizes=(12, 8, 1)), mlp(sizes=(12, 8, 1))
        self.optimizers = [torch.optim.Adam(part.parameters()) for part in (self.encoder, self.actor)]
        self.optimizers.append(torch.optim.Adam([*self.q1.parameters(), *self.q2.parameters()]))
        self.joint = Joint(self.forward, encoder=self.encoder, actor=self.actor, q1=self.q1, q2=self.q2)
        self.inputs = torch.randn(32, 6), torch.randn(32, 2)

    def forward(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.encoder(observations)
        joined = torch.cat([features, actions], dim=1)
        return torch.tanh(self.actor(features)), self.q1(joined), self.q2(joined)


def silenced_agent() -> Agent:
    agent = Agent()
    silence_some(agent.joint, trace_neurons(agent.joint, agent.inputs))
    for _ in range(2):
        loss = sum((each.square().mean() for each in agent.joint(*agent.inputs)), torch.zeros(()))
        for optimizer in agent.optimizers:
            optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in agent.optimizers:
            optimizer.step()
    silence_some(agent.joint, trace_neurons(agent.joint, agent.inputs))
    return agent


def test_a_shared_neuron_is_silenced_in_everything_that_reads_it() -> None:
    agent = silenced_agent()
    before = outputs(agent.joint, agent.inputs)
    report = ReDo(agent.joint, agent.optimizers, tau=0.0, period=1).step(agent.inputs)
    assert report is not None
    neurons = report.plan["encoder.0"].neurons
    assert neurons.size >= 4
    for part in (agent.actor, agent.q1, agent.q2):
        assert (part[0].weight[:, neurons] == 0).all()
    assert (agent.q1[0].weight[1:2, 10:] != 0).any()  # the actions are still read
    assert same(before, outputs(agent.joint, agent.inputs))


def test_every_optimizer_forgets_its_own_part() -> None:
    agent = silenced_agent()
    report = ReDo(agent.joint, agent.optimizers, tau=0.0, period=1).step(agent.inputs)
    assert report is not None
    for optimizer, name, weight in (
        (agent.optimizers[0], "encoder.0", agent.encoder[0].weight),
        (agent.optimizers[1], "actor.0", agent.actor[0].weight),
        (agent.optimizers[2], "q2.0", agent.q2[0].weight),
    ):
        rows = report.plan[name].neurons
        assert rows.size > 0
        assert (optimizer.state[weight]["exp_avg_sq"][rows] == 0).all()


def test_twins_are_given_different_weights() -> None:
    agent = silenced_agent()
    ReDo(agent.joint, tau=1e9, period=1, outgoing="keep").step(agent.inputs)
    assert not torch.equal(agent.q1[0].weight, agent.q2[0].weight)
    pair = np.corrcoef(agent.q1[0].weight.detach().flatten(), agent.q2[0].weight.detach().flatten())
    assert abs(pair[0, 1]) < 0.4


def test_parts_are_shared_not_copied() -> None:
    agent = Agent()
    names: dict[str, Any] = dict(agent.joint.named_parameters())
    assert names["q2.0.weight"] is agent.q2[0].weight
    assert agent.joint.encoder is agent.encoder
