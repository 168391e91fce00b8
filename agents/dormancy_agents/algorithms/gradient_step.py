"""A gradient step prepared once and repeated: on a GPU one launch takes the place of some two hundred."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar, final

import torch
from torch import Tensor

__all__ = ["GradientStep"]

B = TypeVar("B", bound=tuple[Any, ...])
REHEARSALS = 3
"""What libraries allocate and choose at their first calls must have happened before a graph is recorded."""


@final
class GradientStep(Generic[B]):
    """Calls `update` with a batch; with `graph` "cuda" the calls are one recorded CUDA graph.

    `update` takes a NamedTuple, changes the parameters of `optimizers` and returns its losses by name, without
    gradient. It must read nothing but the tensors of the batch, ask the device for no value, and treat all batches
    alike (same shapes and dtypes); its random numbers must be those of the device's default generator. What it returns
    is overwritten by the next call.

    A graph reads and writes fixed addresses. So each batch is copied into the memory of the first one; parameters and
    the optimizer's state must be changed in place from then on, or `forget` be called. The rehearsals before recording
    leave no trace: parameters and optimizer are put back. "rehearsed" does all of this without the recording, on any
    device, and gives bit for bit what "none" gives: that is how it is tested where there is no GPU.
    """

    def __init__(
        self, update: Callable[[B], Mapping[str, Tensor]], optimizers: Sequence[torch.optim.Optimizer], graph: str
    ) -> None:
        self._update, self._optimizers, self._kind = update, optimizers, graph
        self.forget()

    def forget(self) -> None:
        """Prepare anew at the next call: for when tensors were replaced rather than written to."""
        self._held: B | None = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._losses: Mapping[str, Tensor] = {}

    def __call__(self, batch: B) -> Mapping[str, Tensor]:
        """Take one gradient step and return its losses."""
        if self._kind == "none":
            return self._update(batch)
        if self._held is None:
            self._held = self._prepared(batch)
        for held, value in zip(self._held, batch, strict=True):
            if isinstance(held, Tensor):
                held.copy_(value, non_blocking=True)
        if self._graph is None:
            return self._update(self._held)
        self._graph.replay()
        return self._losses

    def _prepared(self, batch: B) -> B:
        held = type(batch)(*(value.clone() if isinstance(value, Tensor) else value for value in batch))
        self._rehearse(held)
        if self._kind == "cuda":
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._losses = self._update(held)  # recorded, not run
        return held

    def _rehearse(self, held: B) -> None:
        # Detached: a clone that remembers its parameter would tie gradients to the stream it was made on.
        before = {id(value): value.detach().clone() for value in self._tensors()}
        with torch.random.fork_rng(devices=[torch.cuda.current_device()] if self._kind == "cuda" else []):
            if self._kind == "cuda":
                self._on_another_stream(held)
            else:
                self._repeat(held)
        with torch.no_grad():
            for value in self._tensors():
                # State that the optimizer made at its first step began at zero.
                value.copy_(before[id(value)]) if id(value) in before else value.zero_()

    def _on_another_stream(self, held: B) -> None:
        other, current = torch.cuda.Stream(), torch.cuda.current_stream()
        other.wait_stream(current)
        with torch.cuda.stream(other):
            self._repeat(held)
        current.wait_stream(other)

    def _repeat(self, held: B) -> None:
        for _ in range(REHEARSALS):
            self._update(held)

    def _tensors(self) -> Iterator[Tensor]:
        """Give every tensor that a step of the optimizers changes."""
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    yield parameter
                    yield from (v for v in optimizer.state.get(parameter, {}).values() if isinstance(v, Tensor))
