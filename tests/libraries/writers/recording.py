"""Measure a network in the library that made it, with forward hooks, and write the answer beside the saved file.

The writers of this folder run in an environment that has one library and neither dormancy nor its tests, so this module
needs NumPy alone; torch is imported where there are modules to watch.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

TAUS = (0.0, 0.1)
ROWS = 300


def layer_truth(name: str, mean_activity: Any) -> dict[str, Any]:
    """Return the scores of one layer (Sokar et al. 2023, Eq. 1) and how many neurons are dormant.

    `mean_activity` has the mean of ``|h|`` for each neuron, in float64.
    """
    means = np.asarray(mean_activity, dtype=np.float64)
    scores = means / means.mean() if means.mean() > 0 else np.zeros_like(means)
    return {
        "module": name,
        "neurons": len(means),
        "dormant": {f"{tau:g}": int((scores <= tau).sum()) for tau in TAUS},
        "scores": scores.tolist(),
    }


def hooked(
    call: Callable[[], Any], layers: Mapping[str, Any] | Iterable[tuple[str, Any, Callable[[Any], Any] | None]]
) -> list[dict[str, Any]]:
    """Run `call` once and return the truth of each layer.

    `layers` maps names to modules whose *output* is the activation; or it has triples (name, module, function), where
    the function turns the module's output into the activation, for libraries that call ``F.relu`` themselves. A
    convolution's channel is one neuron. A module that runs several times in one call is measured over all of them.
    """
    import torch

    triples = [(n, m, None) for n, m in layers.items()] if isinstance(layers, Mapping) else list(layers)
    sums: dict[str, Any] = {}
    counts: dict[str, int] = {}
    handles = []

    def watch(name: str, module: Any, function: Callable[[Any], Any] | None) -> None:
        def hook(_: Any, __: Any, output: Any) -> None:
            values = (function(output) if function else output).detach().to(torch.float64).abs()
            if values.dim() == 4:
                values = values.movedim(1, -1)
            values = values.reshape(-1, values.shape[-1])
            sums[name] = sums.get(name, 0) + values.sum(0)
            counts[name] = counts.get(name, 0) + len(values)

        handles.append(module.register_forward_hook(hook))

    for name, module, function in triples:
        watch(name, module, function)
    try:
        with torch.no_grad():
            call()
    finally:
        for handle in handles:
            handle.remove()
    return [layer_truth(name, (sums[name] / counts[name]).cpu().numpy()) for name, *_ in triples]


def activations(
    module: Any, prefix: str = "", kinds: tuple[str, ...] = ("ReLU", "Tanh", "ELU", "SiLU", "GELU")
) -> dict[str, Any]:
    """Return the activation modules inside `module`, named by their paths."""
    return {f"{prefix}{name}": m for name, m in module.named_modules() if type(m).__name__ in kinds}


def silence(layer: Any, share: float = 0.5) -> None:
    """Make the first neurons of a dense layer or convolution dead under ReLU, and under functions with f(0) = 0."""
    import torch

    with torch.no_grad():
        dead = int(layer.weight.shape[0] * share)
        layer.weight[:dead] = 0
        layer.bias[:dead] = -20


def silence_odd(layer: Any, share: float = 0.5) -> None:
    """The same for tanh, whose dead neurons have no bias."""
    import torch

    with torch.no_grad():
        dead = int(layer.weight.shape[0] * share)
        layer.weight[:dead] = 0
        layer.bias[:dead] = 0


class Corpus:
    """The files of one library, below one folder."""

    def __init__(self, *packages: str) -> None:
        self.folder = Path(sys.argv[1])
        self.folder.mkdir(parents=True, exist_ok=True)
        self.versions = {name: importlib.metadata.version(name) for name in packages}

    def note(
        self,
        file: str,
        saved_by: str,
        sample: Mapping[str, Any],
        networks: Mapping[str, list[dict[str, Any]]],
        *,
        flags: Mapping[str, list[str]] | None = None,
        preprocessing: str = "none",
        remark: str = "",
        sample_file: str = "",
    ) -> None:
        """Write ``NAME.truth.json`` and ``NAME.obs.npz`` beside `file`.

        With `sample_file` the library itself wrote the sample, and the answer is that for `file` scanned with it.

        `sample` has ``observations`` (or ``observations/KEY``) and perhaps ``actions``: raw, as a user would have
        them. `flags` holds for each network the flags of ``dormancy scan`` that a user would try.
        """
        base = file.replace("/", "__") + ("+" + sample_file.rsplit("/", 1)[-1] if sample_file else "")
        arrays = {name: np.asarray(value) for name, value in sample.items()}
        np.savez(self.folder / f"{base}.obs.npz", **{name.replace("/", "."): a for name, a in arrays.items()})
        if set(arrays) == {"observations"}:
            np.save(self.folder / f"{base}.obs.npy", arrays["observations"])
        answer = {
            "file": file,
            "versions": self.versions,
            "saved_by": saved_by,
            "preprocessing": preprocessing,
            "remark": remark,
            "sample": sample_file or f"{base}.obs.npz",
            "networks": {
                name: {
                    "flags": (flags or {}).get(name, []),
                    "neurons": sum(layer["neurons"] for layer in layers),
                    "dormant": {f"{tau:g}": sum(layer["dormant"][f"{tau:g}"] for layer in layers) for tau in TAUS},
                    "layers": layers,
                }
                for name, layers in networks.items()
            },
        }
        (self.folder / f"{base}.truth.json").write_text(json.dumps(answer, indent=1), encoding="utf-8")
