"""Fresh values for recycled weights: drawn by the network's own initialiser, from a private stream of random numbers.

Rows are copied out of a whole freshly initialised weight, so that fan-in, gain, orthogonality and whatever else the
initialiser does are respected, and no global random number is used: exploration and replay stay on their course.
"""

from __future__ import annotations

import copy
import inspect
import random
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, final

import numpy as np
import torch
from torch import Tensor, nn

from dormancy.errors import RewriteRefused, UsageError

__all__ = ["Drawer", "FormulaDrawer", "ModuleDrawer", "NetworkDrawer", "drawer_for", "private_stream"]


@contextmanager
def private_stream(seed: int) -> Iterator[None]:
    """Seed the global generators of torch, NumPy and Python for the time of the block, then put them back as they were.

    ``torch.manual_seed`` is avoided: it would also queue a seed for a CUDA device that nobody has used yet.
    """
    python, numpy = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        for device in devices:
            torch.cuda.default_generators[device].manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


class Drawer(Protocol):
    """Draws whole parameters anew."""

    def refusal(self, parameter: str) -> str | None:
        """Say why a parameter cannot be drawn anew, or None when it can."""
        ...

    def source(self, parameter: str) -> str:
        """Name the initialiser that a parameter is drawn by."""
        ...

    def draw(self, parameters: Collection[str], seed: int) -> Mapping[str, Tensor]:
        """Draw parameters anew, on the CPU; equal seeds draw equal values."""
        ...


def _offers_reset(module: nn.Module) -> bool:
    """Whether ``module.reset_parameters()`` can be called as it stands."""
    reset = getattr(module, "reset_parameters", None)
    if not callable(reset):
        return False
    needed = (parameter.default for parameter in inspect.signature(reset).parameters.values())
    return all(default is not inspect.Parameter.empty for default in needed)


@final
class ModuleDrawer:
    """Calls ``reset_parameters()`` of a copy of the outermost module that offers it and initialises the parameter.

    A network with a recipe of its own (Xavier-uniform with zero biases, orthogonal rows) states it in such a method;
    without one, the layer's own is used: ``nn.Linear.reset_parameters`` and its like. The copies live on the CPU.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._owners: dict[str, str | None] = {}
        self._moulds: dict[str, nn.Module] = {}

    def refusal(self, parameter: str) -> str | None:
        """See `Drawer`: there may be no module that says how the parameter is initialised."""
        if self._owner(parameter) is not None:
            return None
        return f"no module says how '{parameter}' is initialised; give fresh=, a function that builds the network anew"

    def source(self, parameter: str) -> str:
        """See `Drawer`."""
        owner = self._owner(parameter)
        if owner is None:
            raise RewriteRefused(f"cannot draw a parameter anew: {self.refusal(parameter)}")
        kind = type(self._model.get_submodule(owner)).__name__
        return f"{kind}.reset_parameters" + (f" of '{owner}'" if owner else "")

    def draw(self, parameters: Collection[str], seed: int) -> Mapping[str, Tensor]:
        """See `Drawer`. One stream runs through all modules, so twin networks get independent values."""
        owners = dict.fromkeys(owner for name in parameters if (owner := self._owner(name)) is not None)
        with private_stream(seed), torch.no_grad():
            for owner in owners:
                self._reset(self._moulds[owner])
        return {name: self._in_mould(name, self._owners[name]).detach().clone() for name in parameters}

    def _owner(self, parameter: str) -> str | None:
        if parameter not in self._owners:
            able = (path for path in _ancestors(parameter) if self._fills(path, parameter))
            self._owners[parameter] = next(able, None)
        return self._owners[parameter]

    def _fills(self, path: str, parameter: str) -> bool:
        """Whether resetting the module at `path` replaces every number of the parameter."""
        if not _offers_reset(self._model.get_submodule(path)):
            return False
        mould = self._mould(path)
        target = self._in_mould(parameter, path)
        with private_stream(0), torch.no_grad():
            target.fill_(float("nan"))  # what is still undefined afterwards was not initialised
            self._reset(mould)
        return not bool(torch.isnan(target).any())

    @staticmethod
    def _reset(mould: nn.Module) -> None:
        mould.reset_parameters()  # type: ignore[operator]  # `_offers_reset` has looked

    def _mould(self, path: str) -> nn.Module:
        if path not in self._moulds:
            module = self._model.get_submodule(path)
            try:
                self._moulds[path] = copy.deepcopy(module).cpu()
            except Exception as error:
                where = path or type(module).__name__
                raise RewriteRefused(
                    f"cannot copy module '{where}' to draw fresh weights ({type(error).__name__}); "
                    "give fresh=, a function that builds the network anew"
                ) from error
        return self._moulds[path]

    def _in_mould(self, parameter: str, path: str | None) -> Tensor:
        if path is None:
            raise RewriteRefused(f"cannot draw a parameter anew: {self.refusal(parameter)}")
        inner = parameter.removeprefix(f"{path}.") if path else parameter
        return self._mould(path).get_parameter(inner)


def _ancestors(parameter: str) -> Iterator[str]:
    """Name the modules that hold a parameter, outermost first.

    >>> list(_ancestors("q.fc1.weight"))
    ['', 'q', 'q.fc1']
    """
    parts = parameter.split(".")[:-1]
    for depth in range(len(parts) + 1):
        yield ".".join(parts[:depth])


@final
class NetworkDrawer:
    """Builds the whole network anew with a function, and takes the parameters by their names."""

    def __init__(self, model: nn.Module, build: Callable[[], nn.Module]) -> None:
        self._shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
        self._build = build

    def refusal(self, parameter: str) -> str | None:
        """See `Drawer`: a function that builds the network can draw all of it."""
        return None

    def source(self, parameter: str) -> str:
        """See `Drawer`."""
        return f"the network built by {getattr(self._build, '__name__', 'fresh')}"

    def draw(self, parameters: Collection[str], seed: int) -> Mapping[str, Tensor]:
        """See `Drawer`. Raises `UsageError` when the built network does not have these parameters."""
        with private_stream(seed):
            built = dict(self._build().named_parameters())
        for name in parameters:
            if name not in built or built[name].shape != self._shapes[name]:
                raise UsageError(f"the network built by fresh= has no parameter {name!r} of the shape that is needed")
        return {name: built[name].detach().cpu().clone() for name in parameters}


@final
class FormulaDrawer:
    """Draws every weight by one formula and sets every bias to 0, whatever the network's own initialiser does.

    This is what other implementations of ReDo do; it is here to reproduce them.
    """

    def __init__(self, model: nn.Module, formula: Callable[[Tensor], object], name: str) -> None:
        self._shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
        self._formula = formula
        self._name = name

    def refusal(self, parameter: str) -> str | None:
        """See `Drawer`."""
        return None

    def source(self, parameter: str) -> str:
        """See `Drawer`."""
        return "zero" if len(self._shapes[parameter]) < 2 else self._name

    def draw(self, parameters: Collection[str], seed: int) -> Mapping[str, Tensor]:
        """See `Drawer`."""
        drawn = {name: torch.zeros(self._shapes[name]) for name in parameters}
        with private_stream(seed), torch.no_grad():
            for values in drawn.values():
                if values.dim() >= 2:
                    self._formula(values)
        return drawn


def drawer_for(model: nn.Module, fresh: Callable[[], nn.Module] | None) -> Drawer:
    """Draw by a function that builds the network anew, where one is given, else by the modules' own initialisers."""
    return ModuleDrawer(model) if fresh is None else NetworkDrawer(model, fresh)
