"""Draw rows of a data set at random, by seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from dormancy.errors import UsageError
from dormancy.io.arrays.concatenated import PickedArray
from dormancy.io.samples.sample import ReplaySample

__all__ = ["pick_rows"]


def pick_rows(sample: ReplaySample, rows: int, seed: int) -> ReplaySample:
    """Draw `rows` transitions uniformly without replacement, kept in their order; all of them where there are no more.

    The draw is repeatable: the same `seed` on the same sample gives the same rows. Raises `UsageError` below 1 row.
    """
    if rows < 1:
        raise UsageError(f"a sample needs at least 1 row, not {rows}")
    if rows >= len(sample):
        return sample
    positions = np.sort(np.random.default_rng(seed).choice(len(sample), rows, replace=False)).astype(np.int64)
    lazy = {"observations", "next_observations"}
    names = [field.name for field in fields(sample) if field.name not in ("provenance", "source")]
    found: dict[str, Any] = {}
    for name in names:
        part = getattr(sample, name)
        pick: Callable[[Any], Any] = (
            (lambda array: PickedArray(array, positions)) if name in lazy else (lambda array: array[positions])
        )
        if part is not None:
            found[name] = {key: pick(each) for key, each in part.items()} if isinstance(part, Mapping) else pick(part)
    return replace(sample, **found)
