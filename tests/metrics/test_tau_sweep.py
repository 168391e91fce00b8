"""The tau sweep and the histogram against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dormancy.errors import UsageError
from dormancy.metrics.tau_sweep import SWEEP, score_histogram, tau_sweep

scores = hnp.arrays(
    np.float64, st.integers(1, 40), elements=st.one_of(st.sampled_from([*SWEEP, float("nan")]), st.floats(0, 5))
)


@given(scores)
def test_the_sweep_is_the_dormant_share_at_each_tau(found: np.ndarray) -> None:
    assert tau_sweep(found).tolist() == [np.mean(found <= tau) for tau in SWEEP]


@given(scores)
def test_the_histogram_counts_everyone_once_and_agrees_with_tau(found: np.ndarray) -> None:
    histogram = score_histogram(found)
    assert histogram.zero + histogram.counts.sum() + histogram.above + histogram.nonfinite == found.size
    up_to = histogram.zero + np.concatenate([[0], np.cumsum(histogram.counts)])
    assert (up_to / found.size).tolist() == tau_sweep(found, histogram.edges).tolist()


@pytest.mark.parametrize("edges", [[0.0], [0.1, 1.0], [0.0, 1.0, 1.0], [0.0, np.nan]])
def test_edges_must_ascend_from_zero(edges: list[float]) -> None:
    with pytest.raises(UsageError, match="ascend from 0"):
        score_histogram(np.ones(3), edges)
