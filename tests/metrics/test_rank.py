"""The ranks against closed forms, and the streamed spectrum against a full SVD."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dormancy.graph import NeuronLayer
from dormancy.metrics.rank import entropy_rank, feature_rank, pca_rank, srank, stable_rank
from dormancy.probing.gram import GramMatrices, GramMatrix

RANKS = [srank, entropy_rank, stable_rank, pca_rank, lambda s: feature_rank(s, 4)]
spectra = hnp.arrays(np.float64, st.integers(1, 20), elements=st.floats(1e-3, 1e3)).map(lambda s: np.sort(s)[::-1])


def orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((rows, columns)))[0]


def features_with(spectrum: np.ndarray, rows: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return orthogonal(rng, rows, len(spectrum)) * spectrum @ orthogonal(rng, len(spectrum), len(spectrum)).T


LAYER = NeuronLayer("fc", 1, "relu", (), (), None, None, 0, 1, True)


def streamed(features: np.ndarray, batch: int = 77) -> np.ndarray:
    collector = GramMatrices()
    for start in range(0, len(features), batch):
        collector.add(LAYER, torch.from_numpy(features[start : start + batch]))
    return collector.result()["fc"].singular_values


def in_float32(features: np.ndarray) -> np.ndarray:
    narrow = features.astype(np.float32)
    return GramMatrix((narrow.T @ narrow).astype(np.float64), *features.shape).singular_values


def test_two_singular_values() -> None:
    s = np.array([3.0, 1.0])
    assert srank(s) == 2
    assert entropy_rank(s) == pytest.approx(1.755, abs=1e-3)
    assert stable_rank(s) == pytest.approx(1.111, abs=1e-3)


@pytest.mark.parametrize("rank", RANKS)
def test_a_zero_matrix_has_rank_zero(rank: object) -> None:
    assert rank(np.zeros(5)) == 0.0  # type: ignore[operator]


@pytest.mark.parametrize("k", [1, 3, 10])
def test_k_equal_singular_values_have_rank_k(k: int) -> None:
    s = np.array([2.0] * k + [0.0] * 3)
    assert srank(s) == k
    assert entropy_rank(s) == pytest.approx(k)
    assert stable_rank(s) == pytest.approx(k)
    assert pca_rank(s) == k
    assert feature_rank(s, rows=4) == k


@given(spectra)
def test_srank_is_the_smallest_sufficient_count(s: np.ndarray) -> None:
    k = int(srank(s))
    assert s[:k].sum() >= 0.99 * s.sum() - 1e-9
    assert s[: k - 1].sum() < 0.99 * s.sum() + 1e-9


@given(spectra, st.floats(1e-6, 1e6))
def test_scale_free_ranks_ignore_the_scale(s: np.ndarray, scale: float) -> None:
    assert entropy_rank(s * scale) == pytest.approx(entropy_rank(s), rel=1e-9)
    assert stable_rank(s * scale) == pytest.approx(stable_rank(s), rel=1e-9)
    assert 1 - 1e-9 <= stable_rank(s) <= entropy_rank(s) ** 2 * len(s)
    assert 1 - 1e-9 <= entropy_rank(s) <= len(s) + 1e-9


ILL_CONDITIONED = {
    "geometric": 0.95 ** np.arange(256),
    "steep": 10.0 ** -np.linspace(0, 6, 256),
    "one large value": np.array([1e4] + [1.0] * 255),
    "power law": 1.0 / np.arange(1, 257) ** 1.5,
    "deficient": np.array([1.0] * 40 + [0.0] * 216),
}


@pytest.mark.parametrize("name", ILL_CONDITIONED)
@pytest.mark.parametrize("rows", [300, 2000])
def test_the_streamed_spectrum_gives_the_rank_of_a_full_svd(name: str, rows: int) -> None:
    features = features_with(ILL_CONDITIONED[name], rows)
    full = np.linalg.svd(features, compute_uv=False)
    assert srank(streamed(features)) == srank(full)
    assert streamed(features) == pytest.approx(full, abs=1e-6 * full[0])


def test_why_the_products_are_taken_in_float64() -> None:
    """One direction and 1023 that are nearly 0: rounding of float32 alone makes up dozens of directions more."""
    features = features_with(np.array([1.0] + [1e-6] * 1023), 2000)
    full = srank(np.linalg.svd(features, compute_uv=False))
    assert full == srank(streamed(features)) == 1
    assert srank(in_float32(features)) > 20


@pytest.mark.parametrize("rows", [1, 10, 63])
def test_fewer_rows_than_features(rows: int) -> None:
    features = np.random.default_rng(0).standard_normal((rows, 64))
    assert streamed(features).shape == (rows,)
    assert streamed(features) == pytest.approx(np.linalg.svd(features, compute_uv=False), rel=1e-9)
