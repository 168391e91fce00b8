"""Whole networks saved with ``torch.save(model)``: read without running any of the code that they name.

A plain ``nn.Sequential`` of standard modules says all of its forward pass and is rebuilt exactly. The forward pass of
any other class is code that is not in the file: its parameters are matched with the templates, helped by what its
modules say, or go into the user's own network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from dormancy.errors import ArchitectureUnknown, FormatError, KeyNeeded, UsageError
from dormancy.io.checkpoints.architecture.identify import checkpoint_of
from dormancy.io.checkpoints.architecture.module_tree import ModuleNode, class_names, find_modules
from dormancy.io.checkpoints.architecture.sequential import facts_of, first_inputs, kinds_of, sequence_of
from dormancy.io.checkpoints.checkpoint import Assumption, Checkpoint
from dormancy.io.checkpoints.reader import READERS, Candidate
from dormancy.io.checkpoints.state_dicts import Parameters
from dormancy.io.safety.pickle_tensors import TensorRecord
from dormancy.io.safety.torch_load import read_tensors
from dormancy.networks import NetworkSpec
from dormancy.registry import nearest
from dormancy.text.escape import printable

__all__ = ["FORMAT", "PickledModuleReader"]

FORMAT = "pickled module"

_WRAPPERS = ("torch.nn.parallel.data_parallel.DataParallel", "torch.nn.parallel.distributed.DistributedDataParallel")


@final
class PickledModuleReader:
    """Reads torch files that hold modules instead of a state_dict; the classes that they name are never imported."""

    def sniff(self, candidate: Candidate) -> bool:
        """Whether it is a torch zip with whole modules of ``torch.nn``, and not only their parameters."""
        return candidate.is_torch and candidate.holds_modules

    def read(self, candidate: Candidate) -> Checkpoint:
        """Read the network that ``--key`` names, or the only one; raises as `infer` does where it cannot be rebuilt."""
        file = _File(candidate)
        path, node = file.chosen(candidate.hints.key)
        assumptions = file.assumptions(path, node, told=candidate.hints.key is not None)
        layers = None if candidate.hints.model else sequence_of(node)
        if layers is None:
            return file.by_templates(path, node, assumptions)
        return file.exactly(node, layers, assumptions)

    def networks(self, candidate: Candidate) -> dict[str, Parameters]:
        """Return the parameters of each outermost module by its key."""
        file = _File(candidate)
        return {path: file.tensors(node.state_dict()) for path, node in file.modules.items()}


@final
class _File:
    """The modules of one file, and its storages."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate, self.name = candidate, printable(candidate.path)
        self.content = candidate.stubs
        self.modules = {path: _unwrapped(node) for path, node in find_modules(self.content).items()}

    def chosen(self, key: str | None) -> tuple[str, ModuleNode]:
        """Return the module that a key names: a path in the file, a submodule's dotted name, or both."""
        parts = self.parts()
        if not parts:
            raise FormatError(f"{self.name}: names modules but holds none whole; save model.state_dict() instead")
        if key is None:
            if len(self.modules) > 1:
                shown = ", ".join(f"'{printable(path, 40)}'" for path in list(self.modules)[:8])
                raise KeyNeeded(f"{self.name}: holds {len(self.modules)} networks; choose one with --key: {shown}")
            return next(iter(self.modules.items()))
        if key not in parts:
            shown = ", ".join(f"'{printable(name, 40)}'" for name in [name for name in parts if name][:8])
            hint = nearest(key, list(parts))
            raise KeyNeeded(f"{self.name}: no network '{printable(key, 60)}'{hint}; --key takes {shown}")
        return key, parts[key]

    def parts(self) -> dict[str, ModuleNode]:
        """Return all modules that have parameters by what ``--key`` calls them."""
        return {
            "/".join(filter(None, (path, name))): module
            for path, node in self.modules.items()
            for name, module in node.walk()
            if module.state_dict()
        }

    def assumptions(self, path: str, node: ModuleNode, *, told: bool) -> tuple[Assumption, ...]:
        which = f"{path}: {node.kind}" if path else node.kind
        named = dict.fromkeys(name for name in class_names(self.content) if not name.startswith(_OF_TORCH))
        said = [Assumption("network", printable(which, 120), "flag: --key" if told else "file")]
        if named:
            shown = ", ".join([*list(named)[:5], *(["..."] if len(named) > 5 else [])])
            said.append(Assumption("code that it names", printable(shown, 160), "file: not run"))
        return tuple(said)

    def exactly(
        self, node: ModuleNode, layers: list[dict[str, Any]], assumptions: tuple[Assumption, ...]
    ) -> Checkpoint:
        """Return the checkpoint of a sequence that says everything but how its inputs are scaled."""
        hints = self.candidate.hints
        if (hints.arch, hints.activation, hints.layout) != (None, None, None):
            raise UsageError(f"{self.name}: says itself what its layers are; leave out --arch, --activation, --layout")
        scale = 1.0 if hints.input_scale is None else hints.input_scale
        origin = "template: as it is" if hints.input_scale is None else "flag: --input-scale"
        options = {"layers": layers, "observation_shape": first_inputs(layers), "input_scale": scale}
        said = (
            Assumption("layers", ", ".join(kinds_of(layers)), "file: its modules"),
            Assumption("input_scale", f"{scale:.6g}", origin),
        )
        return Checkpoint(
            NetworkSpec("sequential", options),
            self.tensors(node.state_dict()),
            assumptions=(*assumptions, *said),
            source=self.candidate.source(FORMAT),
        )

    def by_templates(self, path: str, node: ModuleNode, assumptions: tuple[Assumption, ...]) -> Checkpoint:
        """Match the parameters with the templates; a part that says all of itself is named where that fails."""
        known = None if self.candidate.hints.model else facts_of(node, self.name)
        try:
            return checkpoint_of(self.candidate, FORMAT, self.tensors(node.state_dict()), assumptions, known)
        except ArchitectureUnknown as error:
            plain = [name for name, part in self.parts().items() if name.startswith(path) and sequence_of(part)]
            if not plain:
                raise
            keys = ", ".join(f"--key {printable(name, 40)}" for name in plain[:3])
            raise ArchitectureUnknown(f"{error}; or look at a part that says all of itself: {keys}") from error

    def tensors(self, records: Mapping[str, TensorRecord]) -> Parameters:
        """Return tensors over the file's storages: what shares a storage there shares memory here."""
        tensors = read_tensors(self.candidate.stream, self.candidate.path, records.values())
        return dict(zip(records, tensors, strict=True))


_OF_TORCH = ("torch.", "collections.", "__builtin__.", "builtins.")


def _unwrapped(node: ModuleNode) -> ModuleNode:
    while node.kind in _WRAPPERS and list(node.children) == ["module"]:
        node = node.children["module"]
    return node


READERS.register(FORMAT)(PickledModuleReader())
