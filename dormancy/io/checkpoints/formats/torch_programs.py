"""TorchScript and ``torch.export`` files: programs, which run when they are used, and so only with ``--trust``.

Without it nothing but the names in the zip directory is looked at. With it the program is the network, whatever its
forward pass is; its weights go to the templates instead where ``--arch`` and its like are given, or where the program
takes batches of one size only.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from math import prod
from typing import Any, final

import torch

from dormancy.errors import FileError, UnsafeFileError
from dormancy.io.checkpoints.architecture.identify import checkpoint_of
from dormancy.io.checkpoints.checkpoint import Assumption, Checkpoint
from dormancy.io.checkpoints.reader import READERS, Candidate
from dormancy.io.checkpoints.state_dicts import Parameters
from dormancy.io.safety.torch_zip import check_inflated
from dormancy.networks import NetworkSpec, Program
from dormancy.text.escape import one_line, printable

__all__ = ["ExportReader", "TorchScriptReader"]

_BY_TEMPLATE = "put into the template's network: "


@final
class TorchScriptReader:
    """Reads what ``torch.jit.save`` writes."""

    format = "torchscript"

    def sniff(self, candidate: Candidate) -> bool:
        """Whether it is a torch zip that holds code."""
        return candidate.is_script

    def read(self, candidate: Candidate) -> Checkpoint:
        """Read the program; raises `UnsafeFileError` without ``--trust``."""
        _require_trust(candidate, "TorchScript")
        program = _loaded(candidate, lambda stream: torch.jit.load(stream, map_location="cpu").eval())
        takes_actions = len(program.forward.schema.arguments) > 2  # the first is the module itself
        return _checkpoint(candidate, self.format, Program(program, takes_actions=takes_actions))

    def networks(self, candidate: Candidate) -> dict[str, Parameters]:
        """Return the parameters by name; raises `UnsafeFileError` without ``--trust``."""
        return {"": dict(self.read(candidate).parameters)}


@final
class ExportReader:
    """Reads what ``torch.export.save`` writes, ``.pt2``."""

    format = "torch.export"

    def sniff(self, candidate: Candidate) -> bool:
        """Whether it is a zip that holds an exported program."""
        return candidate.is_export

    def read(self, candidate: Candidate) -> Checkpoint:
        """Read the program; raises `UnsafeFileError` without ``--trust``."""
        _require_trust(candidate, "torch.export")
        exported = _loaded(candidate, torch.export.load)
        inputs = _inputs(exported)
        program = exported.module()
        fixed = [int(each.shape[0]) for each in inputs[:1] if isinstance(each.shape[0], int)]
        network = Program(program, takes_actions=len(inputs) > 1, dtype=inputs[0].dtype if inputs else None)
        return _checkpoint(candidate, self.format, network, fixed[0] if fixed else None, _shapes(inputs))

    def networks(self, candidate: Candidate) -> dict[str, Parameters]:
        """Return the parameters by name; raises `UnsafeFileError` without ``--trust``."""
        _require_trust(candidate, "torch.export")
        return {"": dict(_loaded(candidate, torch.export.load).state_dict)}


def _require_trust(candidate: Candidate, kind: str) -> None:
    if not candidate.hints.trust:
        raise UnsafeFileError(
            f"{printable(candidate.path)}: a {kind} program, which is code: refused without --trust; trust only who "
            "made it, or save model.state_dict() instead"
        )


def _loaded(candidate: Candidate, load: Callable[[Any], Any]) -> Any:
    """Load a program from the bytes whose hash is recorded, once its members are known not to inflate without bound."""
    name = printable(candidate.path)
    check_inflated(candidate.stream, candidate.path)
    candidate.stream.seek(0)
    stream = io.BytesIO(candidate.stream.read())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return load(stream)
    except Exception as error:  # whatever a damaged program makes torch say: one line that names the file
        raise FileError(f"{name}: torch cannot load this program ({one_line(error, 160)}); save it again") from error


def _inputs(exported: Any) -> list[torch.Tensor]:
    names = set(exported.graph_signature.user_inputs)
    nodes = (node for node in exported.graph.nodes if node.op == "placeholder" and node.name in names)
    return [node.meta["val"] for node in nodes if isinstance(node.meta.get("val"), torch.Tensor)]


def _shapes(inputs: list[torch.Tensor]) -> dict[str, Any]:
    """Return what one row of the inputs is, where the program says it: an observation, and how many numbers act."""
    rows = [tuple(each.shape[1:]) for each in inputs]
    if not rows or not all(isinstance(size, int) for row in rows for size in row):
        return {}
    acting = {"actions": prod(rows[1])} if len(rows) > 1 else {}
    return {"observation_shape": [int(size) for size in rows[0]], **acting}


def _checkpoint(
    candidate: Candidate, format: str, network: Program, batch: int | None = None, options: dict[str, Any] | None = None
) -> Checkpoint:
    hints = candidate.hints
    parameters = dict(network.state_dict())
    if not any(tensor.dim() >= 2 for tensor in parameters.values()):
        raise FileError(f"{printable(candidate.path)}: a program without parameters, perhaps frozen; save a state_dict")
    asked = any(part is not None for part in (hints.arch, hints.activation, hints.layout, hints.model))
    if asked or batch is not None:
        reason = "as asked by a flag" if batch is None else f"the program takes batches of {batch} rows only"
        said = Assumption("weights of the program", _BY_TEMPLATE + reason, "flag: --trust")
        return checkpoint_of(candidate, format, parameters, (said,))
    scale = 1.0 if hints.input_scale is None else hints.input_scale
    origin = "template: as it is" if hints.input_scale is None else "flag: --input-scale"
    return Checkpoint(
        NetworkSpec(format, options or {}),
        parameters,
        assumptions=(
            Assumption("network", "the program itself, which was run", "flag: --trust"),
            Assumption("input_scale", f"{scale:.6g}", origin),
        ),
        source=candidate.source(format),
        factory=lambda: network.copied(scale),
    )


for _reader in (TorchScriptReader(), ExportReader()):
    READERS.register(_reader.format)(_reader)
