"""What is done to a network after a gradient step: recycling, resets, pruning; built here for every algorithm."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple, Protocol, TypeAlias, final

import torch
from torch import Tensor, nn

from dormancy.errors import UsageError
from dormancy.pruning import PruneDormant, PruneReport
from dormancy.recycle import RECYCLERS, AdaptiveTau, Recycler, RecycleReport
from dormancy.registry import nearest
from dormancy_agents.config import CommonConfig

__all__ = ["Intervention", "Interventions", "Row", "Statistics", "check_interventions"]

Row: TypeAlias = dict[str, Any]
"""What is logged of an intervention; its ``kind`` is that of the row."""
OWN = ("model", "optimizer", "tau", "period", "fresh", "seed")
"""What a recycler is given by fields of the configuration, not by its options."""
BY_LAYER = ("layers", "modules", "which")
"""Options that may name layers."""


class Statistics(NamedTuple):
    """What a recycler judges by: `inputs` of the network, (batch, ...), and the loss of its output on them."""

    inputs: Any
    loss: Callable[[Any], Tensor]


class Intervention(Protocol):
    """Something done to the network, and what is logged of it."""

    def step(self, statistics: Callable[[int], Statistics]) -> Row | None:
        """Count one gradient step and act when it is time; return the row to log, with its kind, or None.

        `statistics` draws so many observations of the replay; it is called when they are needed.
        """

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs; JSON-able."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a saved run."""


@final
class Interventions:
    """All interventions that a configuration asks for, in order: pruning, then recycling.

    Raises `UsageError` for an unknown recycler, and for options that it does not have.
    """

    def __init__(
        self, config: CommonConfig, model: nn.Module, optimizers: Iterable[torch.optim.Optimizer], seed: int
    ) -> None:
        self.pruning = _Pruning(config, model) if config.prune_dormant else None
        recycles = config.recycler != "none"
        self._recycling = _Recycling(config, model, tuple(optimizers), seed) if recycles else None
        both: dict[str, Intervention | None] = {"recycler": self._recycling, "pruning": self.pruning}
        self._named = {name: one for name, one in both.items() if one is not None}

    def step(self, statistics: Callable[[int], Statistics], look: Callable[[], None]) -> Iterator[Row]:
        """Let each act after a gradient step; give a row to log for each that did.

        `look` is called in between, when neurons that are pruned are off and none is recycled yet: scans and
        checkpoints fall on round numbers, as recyclings do, and would always find the network as good as new.
        """
        if self.pruning is not None and (row := self.pruning.step(statistics)) is not None:
            yield row
        look()
        if self._recycling is not None and (row := self._recycling.step(statistics)) is not None:
            yield row

    def metadata(self) -> dict[str, Any]:
        """Return what every checkpoint says of interventions: the neurons that are off, by layer."""
        return {} if self.pruning is None else {"pruned": self.pruning.off()}

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs; JSON-able."""
        return {name: intervention.state() for name, intervention in self._named.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a saved run."""
        for name, intervention in self._named.items():
            intervention.load_state(state[name])


def check_interventions(config: CommonConfig) -> None:
    """Raise `UsageError` for options that cannot be, before there is a network; names of layers are not looked at."""
    with torch.random.fork_rng(devices=[]):
        smallest = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1))
    named = {name: value for name, value in config.recycler_options.items() if name not in BY_LAYER}
    Interventions(replace(config, recycler_options=named), smallest, [torch.optim.Adam(smallest.parameters())], 0)


@final
class _Recycling:
    """A recycler of the library, with the options of the configuration."""

    def __init__(
        self, config: CommonConfig, model: nn.Module, optimizers: tuple[torch.optim.Optimizer, ...], seed: int
    ) -> None:
        build = RECYCLERS[config.recycler]
        self._name, self._size = config.recycler, config.recycler_sample_size
        known = inspect.signature(build).parameters
        adapts = {"adaptive_share"} if config.recycler == "redo" else set[str]()
        self._check(config.recycler_options, [*(name for name in known if name not in OWN), *adapts])
        options = dict(config.recycler_options)
        if "tau" in known:
            options["tau"] = _threshold(config.recycler_tau, options.pop("adaptive_share", None))
        period = config.recycler_period_gradient_steps
        self._recycler: Recycler = build(model, optimizers, period=period, seed=seed, **options)

    def _check(self, options: Mapping[str, Any], known: list[str]) -> None:
        for name in options:
            if name not in known:
                hint = nearest(name, known)
                raise UsageError(f"recycler {self._name!r} has no option {name!r}{hint}; it has {', '.join(known)}")

    def step(self, statistics: Callable[[int], Statistics]) -> Row | None:
        @cache
        def drawn() -> Statistics:
            return statistics(self._size)

        report = self._recycler.step(lambda: drawn().inputs, lambda outputs: drawn().loss(outputs))
        return None if report is None else self._row(report)

    def _row(self, report: RecycleReport) -> Row:
        neurons = {layer.name: int(layer.neurons.size) for layer in report.plan if layer.refused is None}
        whole = sorted({edit.parameter for edit in report.plan.edits}) if not neurons else []
        reset = {"parameters": whole} if whole else {}
        refused = [layer.name for layer in report.plan if layer.refused is not None]
        left = {"refused": refused} if refused else {}
        return {"kind": "recycling", "recycler": self._name, "tau": report.tau, "recycled": neurons, **reset, **left}

    def state(self) -> dict[str, Any]:
        return self._recycler.state_dict()

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._recycler.load_state_dict(state)


def _threshold(tau: float, share: Any) -> float | AdaptiveTau:
    """Return the threshold of a recycler: one that stays, or one that follows the share of neurons to recycle."""
    if share is None:
        return tau
    if type(share) not in (int, float):
        raise UsageError(f"adaptive_share takes a number, not {share!r}")
    if not 0 <= share <= 1:
        raise UsageError(f"adaptive_share must be between 0 and 1, not {share}")
    return AdaptiveTau(target=share, tau=tau, high=max(1.0, tau))


@final
class _Pruning:
    """Neurons once found dormant stay off."""

    def __init__(self, config: CommonConfig, model: nn.Module) -> None:
        self._size = config.prune_sample_size
        self._pruner = PruneDormant(model, tau=config.prune_tau, period=config.prune_period_gradient_steps)

    def step(self, statistics: Callable[[int], Statistics]) -> Row | None:
        report = self._pruner.step(lambda: statistics(self._size).inputs)
        return None if report is None else self._row(report)

    def _row(self, report: PruneReport) -> Row:
        new = {name: int(neurons.size) for name, neurons in report.new.items()}
        off = {name: len(neurons) for name, neurons in self.off().items()}
        return {"kind": "pruning", "tau": report.tau, "pruned": new, "off": off}

    def off(self) -> dict[str, list[int]]:
        """Return the neurons that are off, ascending, by layer."""
        return {name: neurons.tolist() for name, neurons in self._pruner.off.items()}

    def state(self) -> dict[str, Any]:
        return self._pruner.state_dict()

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._pruner.load_state_dict(state)
