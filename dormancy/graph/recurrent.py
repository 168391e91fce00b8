"""Recurrent modules of PyTorch: their neurons are the units of the hidden state, not the gates and not the steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from dormancy.graph.ops import tensors_in

__all__ = ["Cell", "cell_of", "is_recurrent", "is_wrapped", "states_of"]


def is_recurrent(module: nn.Module) -> bool:
    """Whether this is one of the recurrent modules of PyTorch, or one of their cells."""
    return isinstance(module, nn.RNNBase | nn.RNNCellBase)


def is_wrapped(tensor: Tensor) -> bool:
    """Whether a tensor belongs to a transformation of functions in progress, such as vmap."""
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(tensor))


@final
@dataclass(frozen=True, eq=False)
class Cell:
    """One call of a recurrent module: the hidden state behind every step, one tensor a level, neurons last.

    `name` is "gru", "lstm" or "rnn". `weights` are the parameters that read the data, by name.
    """

    name: str
    states: tuple[Tensor, ...] = field(repr=False)
    weights: tuple[str, ...] = ()


def cell_of(module: Any, name: str, inputs: Any, outputs: Any) -> Cell:
    """Describe a call of a recurrent module; `inputs` are its positional and keyword arguments."""
    kind = type(module).__mro__
    called = next((each.__name__.removesuffix("Cell").lower() for each in kind if each.__module__ == _HOME), "rnn")
    prefix = f"{name}." if name else ""
    first = [each for each, _ in module.named_parameters() if each in ("weight_ih", "weight_ih_l0", _REVERSE)]
    return Cell(called, tuple(states_of(module, inputs, outputs)), tuple(prefix + each for each in first))


_HOME = nn.GRU.__module__
_REVERSE = "weight_ih_l0_reverse"


def states_of(module: Any, inputs: Any, outputs: Any) -> Sequence[Tensor]:
    """Return the hidden state behind every step, level by level; those below the last are computed once more."""
    if isinstance(module, nn.RNNCellBase):
        return [tensors_in(outputs)[0]]
    last = outputs[0].data if isinstance(outputs[0], PackedSequence) else outputs[0]
    if module.num_layers == 1:
        return [last]
    arguments, keywords = inputs
    named = dict(zip(("input", "hx"), arguments, strict=False)) | keywords
    return [*_lower_states(module, named["input"], named.get("hx")), last]


def _lower_states(module: Any, data: Any, start: Any) -> list[Tensor]:
    """Run the levels below the last one by one, in evaluation mode."""
    run = getattr(torch._VF, {"RNN_TANH": "rnn_tanh", "RNN_RELU": "rnn_relu"}.get(module.mode, module.mode.lower()))
    packed = isinstance(data, PackedSequence)
    values = data.data if packed else data if data.dim() == 3 else data.unsqueeze(0 if module.batch_first else 1)
    rows = int(data.batch_sizes[0]) if packed else values.shape[0 if module.batch_first else 1]
    directions = 2 if module.bidirectional else 1
    states = [start] if isinstance(start, Tensor) else list(start or [])
    if packed and states:
        states = [each if data.sorted_indices is None else each.index_select(1, data.sorted_indices) for each in states]
    sizes = [module.proj_size or module.hidden_size, module.hidden_size][: 2 if module.mode == "LSTM" else 1]
    states = states or [values.new_zeros(module.num_layers * directions, rows, size) for size in sizes]
    states = [each if each.dim() == 3 else each.unsqueeze(1) for each in states]
    found: list[Tensor] = []
    for level in range(module.num_layers - 1):
        span = slice(level * directions, (level + 1) * directions)
        begin = tuple(each[span].contiguous() for each in states)
        weights = [weight for group in module.all_weights[span] for weight in group]
        options = (weights, module.bias, 1, 0.0, False, module.bidirectional)
        state = begin if module.mode == "LSTM" else begin[0]
        if packed:
            values = run(values, data.batch_sizes, state, *options)[0]
        else:
            values = run(values, state, *options, module.batch_first)[0]
        found.append(values)
    return found
