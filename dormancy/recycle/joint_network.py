"""Several networks seen as one, so that neurons which they share are recycled for all of them at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

from torch import nn

__all__ = ["Joint"]


@final
class Joint(nn.Module):
    """Networks by name, and one function that runs them all: an actor and twin critics, or heads on a shared encoder.

    ::

        def forward(observations, actions):
            features = encoder(observations)
            return actor(features), q1(features, actions), q2(features, actions)

        parts = Joint(forward, encoder=encoder, actor=actor, q1=q1, q2=q2)
        redo = ReDo(parts, [actor_optimizer, critic_optimizer])
        redo.step((observations, actions))

    Everything that reads a neuron must be in it: a head that is left out keeps its weights for the neuron's old
    meaning. Call each part once: the neurons of a network that is called twice in one pass are refused. The parts stay
    what they are: parameters, modes and devices are shared, nothing is copied.
    """

    def __init__(self, forward: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self._run = forward

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        """Run the function that was given."""
        return self._run(*inputs, **keywords)
