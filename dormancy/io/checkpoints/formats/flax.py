"""Flax: trees of arrays in msgpack, as ``flax.serialization.to_bytes`` writes them. Needs the extra ``flax`` (msgpack).

Nothing but maps, plain values and arrays is decoded: an extension type of another kind is refused, an array must have
just the bytes that its shape says. Weights become PyTorch's: dense kernels are transposed, convolutions turned from
(height, width, in, out) to (out, in, height, width), so that the rebuilt network takes frames channels first; what was
flattened by position still is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, NoReturn, final

import torch
from torch import Tensor

from dormancy.errors import ArchitectureUnknown, FileError, UnsafeFileError, UsageError
from dormancy.io.checkpoints.architecture.identify import checkpoint_of
from dormancy.io.checkpoints.architecture.infer import Known
from dormancy.io.checkpoints.checkpoint import Assumption, Checkpoint
from dormancy.io.checkpoints.reader import READERS, Candidate
from dormancy.io.checkpoints.state_dicts import Parameters, choose
from dormancy.text.escape import one_line, printable

__all__ = ["FORMAT", "FlaxReader"]

FORMAT = "flax"

MAX_BYTES = 1 << 30
MAX_LIST, MAX_MAP, MAX_TEXT = 4096, 65_536, 1 << 16
MAX_DEPTH, MAX_DIMENSIONS = 24, 8
"""Decoding takes at most four times the bytes of the file, and some 40 MB where a file claims lists that it has not."""

_ARRAY, _SCALAR = 1, 3
_DTYPES = {
    "float64": torch.float64, "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16,
    "int64": torch.int64, "int32": torch.int32, "int16": torch.int16, "int8": torch.int8, "uint8": torch.uint8,
    "bool": torch.bool,
}  # fmt: skip
_NAMES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
_KNOWN = Known(library="Flax", epsilon={"layer": 1e-6, "batch": 1e-5}, layout=("hwc", "template: Flax"))
_BESIDE = ("opt_state", "batch_stats", "args")


@final
class FlaxReader:
    """Reads msgpack trees of Flax modules, with the names that Flax gives (``Conv_0``, ``Dense_1``) or others."""

    def sniff(self, candidate: Candidate) -> bool:
        """Whether it begins with a map whose first key is printable text."""
        head = candidate.head
        start = {0xDE: 3, 0xDF: 5}.get(head[0], 1)
        if not (0x81 <= head[0] <= 0x8F or start > 1) or len(head) < start + 2:
            return False
        token = head[start]
        begin, size = (start + 2, head[start + 1]) if token == 0xD9 else (start + 1, token & 0x1F)
        key = head[begin : begin + size]
        return (token == 0xD9 or token >> 5 == 0b101) and len(key) == size > 0 and all(32 < each < 127 for each in key)

    def read(self, candidate: Candidate) -> Checkpoint:
        """Read the network that ``--key`` names, or the only one; raises as `infer` does.

        Raises `UsageError` without msgpack, `FileError` when it is damaged, `UnsafeFileError` for anything but arrays
        and plain values.
        """
        file, content = printable(candidate.path), _decoded(candidate)
        found = dict(_networks(content, (), file))
        parameters, assumptions = choose(found, candidate.hints.key, file)
        if candidate.hints.model is None:
            _check_norms(parameters, file)
        said = Assumption("weights", "turned to PyTorch's order, channels first", "template: Flax")
        return checkpoint_of(
            candidate, FORMAT, parameters, (*assumptions, said), _KNOWN,
            gradient_step=_step(content), env_id=_env_id(content),
        )  # fmt: skip

    def networks(self, candidate: Candidate) -> dict[str, Parameters]:
        """Return the parameters of each network by its key."""
        return dict(_networks(_decoded(candidate), (), printable(candidate.path)))


def _decoded(candidate: Candidate) -> Any:
    name = printable(candidate.path)
    try:
        import msgpack
    except ImportError as error:
        raise UsageError(f"{name}: a Flax file is read with msgpack; pip install 'dormancy[flax]'") from error
    size = candidate.stream.seek(0, 2)
    if size > MAX_BYTES:
        raise UnsafeFileError(f"{name}: refused: {size} bytes of msgpack; at most {MAX_BYTES} are decoded")
    candidate.stream.seek(0)
    hooks = _Hooks(name)
    try:
        content = msgpack.unpackb(
            candidate.stream.read(), raw=False, strict_map_key=True, ext_hook=hooks.extension,
            object_pairs_hook=hooks.pairs, max_array_len=MAX_LIST, max_map_len=MAX_MAP, max_str_len=MAX_TEXT,
            max_bin_len=MAX_BYTES, max_ext_len=MAX_BYTES,
        )  # fmt: skip
    except (msgpack.exceptions.UnpackException, ValueError, RecursionError, TypeError, OverflowError) as error:
        raise FileError(
            f"{name}: truncated or damaged msgpack ({one_line(error, 80)}); copy or save it again"
        ) from error
    hooks.check_depth(content)
    return content


@final
class _Hooks:
    """What is made of the parts of a file that msgpack leaves to others."""

    def __init__(self, name: str) -> None:
        self.name = name

    def refuse(self, reason: str) -> NoReturn:
        raise UnsafeFileError(f"{self.name}: refused: {reason}; save it again with flax.serialization.to_bytes")

    def pairs(self, pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs) or not all(type(key) is str for key in found):
            self.refuse("a map has a key twice, or one that is no text")
        if "__msgpack_chunked_array__" in found:
            self.refuse("an array of more than a gigabyte")
        return found

    def extension(self, code: int, data: bytes) -> Tensor:
        """Make a tensor of an array; anything else that Flax could write (complex numbers) is refused."""
        import msgpack

        if code not in (_ARRAY, _SCALAR):
            self.refuse(f"extension type {code} is no array")
        parts = msgpack.unpackb(data, raw=False, max_array_len=MAX_DIMENSIONS, max_map_len=0, max_str_len=32)
        if type(parts) is not list or len(parts) != 3 or type(parts[0]) is not list or type(parts[2]) is not bytes:
            self.refuse("an array is not a shape, a type and its numbers")
        shape, dtype = parts[0], _DTYPES.get(str(parts[1]))
        if dtype is None or not all(type(size) is int and size >= 0 for size in shape):
            self.refuse(f"an array of type '{printable(parts[1], 20)}', or of a shape that is none")
        if prod(shape) * dtype.itemsize != len(parts[2]):
            self.refuse(f"an array of shape {printable(tuple(shape), 60)} has not the bytes that its shape says")
        numbers = torch.frombuffer(bytearray(parts[2]), dtype=dtype) if parts[2] else torch.empty(0, dtype=dtype)
        return numbers.reshape(shape)

    def check_depth(self, content: Any) -> None:
        pending = [(content, 0)]
        while pending:
            item, depth = pending.pop()
            if depth > MAX_DEPTH:
                self.refuse(f"it is nested more than {MAX_DEPTH} levels deep")
            if isinstance(item, (dict, list)):
                pending.extend((part, depth + 1) for part in (item.values() if isinstance(item, dict) else item))


def _networks(item: Any, where: tuple[str, ...], file: str) -> Iterator[tuple[str, Parameters]]:
    """Return the trees of modules in a file by their path; what optimizers keep is passed over."""
    if not isinstance(item, dict):
        return
    tree = item.get("params")
    if isinstance(tree, dict) and _is_tree(tree):
        yield "/".join(where), _parameters(tree, item.get("batch_stats"), file)
    elif _is_tree(item):
        yield "/".join(where), _parameters(item, None, file)
        return
    for key, part in item.items():
        if key not in _BESIDE and part is not (tree if isinstance(tree, dict) and _is_tree(tree) else None):
            yield from _networks(part, (*where, key), file)


def _is_tree(item: Mapping[str, Any]) -> bool:
    """Whether some child is a layer: a map with a kernel."""
    return any(isinstance(part, dict) and isinstance(part.get("kernel"), Tensor) for part in item.values()) or any(
        isinstance(part, dict) and "params" not in part and _is_tree(part) for part in item.values()
    )


def _parameters(tree: Mapping[str, Any], stats: Any, file: str) -> Parameters:
    """Return the arrays of a tree under PyTorch's names and in its order; layers in the order of their numbers."""
    owners: dict[str, dict[str, Tensor]] = {}
    for source in (tree, stats if isinstance(stats, dict) else {}):
        for owner, leaf, tensor in _leaves(source, ()):
            owners.setdefault(owner, {})[_NAMES.get(leaf, leaf)] = _turned(leaf, tensor)
    for parts in owners.values():
        if "running_var" in parts:
            parts["num_batches_tracked"] = torch.tensor(0)
    ordered = sorted(owners, key=_natural)
    return {f"{owner}.{leaf}" if owner else leaf: each for owner in ordered for leaf, each in owners[owner].items()}


def _leaves(tree: Mapping[str, Any], where: tuple[str, ...]) -> Iterator[tuple[str, str, Tensor]]:
    for key, part in tree.items():
        if isinstance(part, dict):
            yield from _leaves(part, (*where, key))
        elif isinstance(part, Tensor):
            yield ".".join(where), key, part


def _turned(leaf: str, tensor: Tensor) -> Tensor:
    if leaf == "kernel" and tensor.dim() == 4:
        return tensor.permute(3, 2, 0, 1).contiguous()
    return tensor.t().contiguous() if leaf == "kernel" and tensor.dim() == 2 else tensor


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort Dense_10 behind Dense_9: training sorts the names of a tree as text."""
    return [
        (0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)
    ]


def _check_norms(parameters: Parameters, file: str) -> None:
    """Refuse normalisations that Flax numbered by themselves, unless each hidden dense layer has one.

    Their numbers count normalisations, not the layers that they belong to.
    """
    norms = {name.rpartition(".")[0] for name in parameters if re.search(r"(LayerNorm|BatchNorm)_\d+\.", name)}
    weights = [tensor for name, tensor in parameters.items() if name.endswith(".weight") and tensor.dim() in (2, 4)]
    if norms and (any(weight.dim() == 4 for weight in weights) or len(norms) != len(weights) - 1):
        raise ArchitectureUnknown(
            f"{file}: its {len(norms)} normalisations cannot be told to which of {len(weights)} layers they belong; "
            "give the network with --model package.module:factory"
        )


def _step(content: Any) -> int | None:
    found = content.get("step") if isinstance(content, dict) else None
    value = int(found) if isinstance(found, Tensor) and found.numel() == 1 and not found.is_floating_point() else found
    return value if type(value) is int and value >= 0 else None


def _env_id(content: Any) -> str | None:
    arguments = content.get("args") if isinstance(content, dict) else None
    found = arguments.get("env_id") if isinstance(arguments, dict) else None
    return found if isinstance(found, str) else None


READERS.register(FORMAT)(FlaxReader())
