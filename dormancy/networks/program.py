"""A compiled program as a network like any other: its parameters by name, its forward pass as it is."""

from __future__ import annotations

import copy
import warnings
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.jit._fuser import optimized_execution

__all__ = ["Program"]


@final
class Program(nn.Module):
    """Wraps a TorchScript module or the module of an exported program.

    Input: raw observations (batch, ...), multiplied by `input_scale` and cast to `dtype` (None: that of parameters);
    with `takes_actions`, actions (batch, ...) as well. The parameters are the program's own, under their own names:
    writing into one changes what the program computes. The program itself is no submodule, since exported programs have
    neither a training nor an evaluation mode.
    """

    def __init__(
        self,
        program: nn.Module,
        input_scale: float = 1.0,
        *,
        takes_actions: bool = False,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self._held = (program,)
        self.input_scale, self.takes_actions, self._dtype = input_scale, takes_actions, dtype
        for name, parameter in program.named_parameters():
            owner, last = _owner(self, name)
            owner.register_parameter(last, nn.Parameter(parameter) if type(parameter) is Tensor else parameter)
        for name, buffer in program.named_buffers():
            owner, last = _owner(self, name)
            owner.register_buffer(last, buffer)

    def forward(self, observations: Tensor, actions: Tensor | None = None) -> Any:
        """Run the program without the optimisations that would hide its layers."""
        like = self._dtype or next(self.parameters()).dtype
        inputs = [(observations if self.input_scale == 1.0 else observations * self.input_scale).to(like)]
        inputs += [] if actions is None else [actions.to(next(self.parameters()).dtype)]
        with optimized_execution(False):
            return self._held[0](*inputs)

    def copied(self, input_scale: float) -> Program:
        """Return an independent copy whose observations are multiplied by `input_scale`."""
        found = copy.deepcopy(self)
        found.input_scale = input_scale
        return found

    def __deepcopy__(self, memo: dict[int, Any]) -> Program:
        """Copy the program; parameters follow, since they are its own."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own, about the parts of an exported program
            program = copy.deepcopy(self._held[0], memo)
        return Program(program, self.input_scale, takes_actions=self.takes_actions, dtype=self._dtype)


def _owner(root: nn.Module, name: str) -> tuple[nn.Module, str]:
    """Return the module that holds what has this dotted name, made where it is missing, and the last part."""
    *path, last = name.split(".")
    for step in path:
        if step not in root._modules:
            root.add_module(step, nn.Module())
        root = root.get_submodule(step)
    return root, last
