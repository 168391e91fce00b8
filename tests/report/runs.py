"""Made-up training runs to report on: scores drift down, some neurons fall dormant, fewer of them wake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dormancy.io import Assumption, Source
from dormancy.metrics import FloatArray, Measurement
from dormancy.metrics.rank import entropy_rank, feature_rank, pca_rank, srank, stable_rank
from dormancy.scanning.result import DormancyScan, LayerScore
from dormancy.scanning.series import DormancySeries

NATURE = (("conv1", 32), ("conv2", 64), ("conv3", 64), ("fc1", 512))


def layer(
    name: str, scores: Sequence[float] | FloatArray, *, penultimate: bool = False, activation: str = "relu", **said: str
) -> LayerScore:
    values = np.asarray(scores, dtype=np.float64)
    return LayerScore(name, activation, values, said.get("obstacle"), said.get("caveat"), penultimate)


def scan_of(*layers: LayerScore, step: int | None = 0, taus: Sequence[float] = (0.1,), **more: Any) -> DormancyScan:
    return DormancyScan(layers, tuple(taus), agent_step=step, **{"measurements": {}, "observations": 512, **more})


def _score_course(rng: np.random.Generator, checkpoints: int, size: int, pace: float, cured: bool) -> FloatArray:
    """Return scores of shape (checkpoints, size) that average 1 at each checkpoint."""
    level = rng.normal(0.0, 0.8, size)
    drift = np.abs(rng.normal(0.0, pace, size)) * (rng.random(size) < 0.6)
    rows, silent = [], np.zeros(size, dtype=bool)
    for _ in range(checkpoints):
        level = level - drift + rng.normal(0.0, 0.22, size)
        silent = (silent & (rng.random(size) > (0.5 if cured else 0.04))) | (level < -3.6)
        level = np.where(silent & (rng.random(size) < (0.5 if cured else 0.02)), rng.normal(0.0, 0.5, size), level)
        means = np.where(silent, 0.0, np.exp(level))
        rows.append(means / (means.mean() or 1.0))
    return np.stack(rows)


def _ranks(name: str, sigma: FloatArray, rows: int) -> dict[str, Measurement]:
    spectrum = {
        "singular_values": {name: [float(f"{s:.6g}") for s in sigma]},
        "attainable": {name: min(rows, sigma.size)},
    }
    return {
        "srank": Measurement(layers={name: srank(sigma)}, detail=spectrum),
        "entropy_rank": Measurement(layers={name: entropy_rank(sigma)}),
        "stable_rank": Measurement(layers={name: stable_rank(sigma)}),
        "pca_rank": Measurement(layers={name: pca_rank(sigma)}),
        "feature_rank": Measurement(layers={name: feature_rank(sigma, rows)}),
    }


def made_up_run(
    name: str = "dqn",
    checkpoints: int = 40,
    *,
    layers: Sequence[tuple[str, int]] = NATURE,
    taus: Sequence[float] = (0.1, 0.0, 0.025),
    pace: float = 0.09,
    cured: bool = False,
    seed: int = 0,
    rows: int = 2048,
    ranked: bool = True,
) -> DormancySeries:
    """Return a series with every part that a real one has."""
    rng = np.random.default_rng(seed)
    courses = [
        _score_course(rng, checkpoints, size, pace * (1 + 0.3 * depth), cured) for depth, (_, size) in enumerate(layers)
    ]
    last, width = layers[-1]
    scans = []
    for k in range(checkpoints):
        found = tuple(
            layer(title, course[k], penultimate=title == last)
            for (title, _), course in zip(layers, courses, strict=True)
        )
        decay = np.exp(-np.arange(width) / (width * (0.35 - 0.2 * pace / 0.09 * k / max(checkpoints, 2)))) + 1e-5
        step = 50_000 * k
        scans.append(
            DormancyScan(
                layers=found,
                taus=tuple(taus),
                measurements=_ranks(last, 100 * decay, rows) if ranked else {},
                observations=rows,
                checkpoint=Source(f"runs/{name}/checkpoints/step_{step:09d}.pt", "native", f"{seed}{k:063x}"),
                sample=Source(f"runs/{name}/samples/step_{step:09d}.h5", "dormancy.sample", f"{seed}{k + 999:063x}"),
                agent_step=step,
                gradient_step=step // 4,
                env_id="ALE/Breakout-v5",
                assumptions=(Assumption("input scale", "1/255", "file"), Assumption("activation", "relu", "file")),
                versions={"dormancy": "0.1.0", "torch": "2.13.0"},
            )
        )
    return DormancySeries.of(name, scans)
