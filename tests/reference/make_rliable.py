"""Write rliable.json: what rliable itself says of made-up scores, for tests/test_stats_rliable.py to compare with.

rliable does not import with pandas 3, so it runs in an environment of its own::

    python3 -m venv rliable && rliable/bin/pip install "rliable==1.2.0" "pandas<2.3" "numpy<2.3"
    rliable/bin/python tests/reference/make_rliable.py

Scores are of shape (runs, tasks), as rliable wants them; intervals are its stratified percentile bootstraps.
"""

import json
from pathlib import Path

import numpy as np
from rliable import library, metrics

REPS = 2_000
THRESHOLDS = np.linspace(0.0, 3.0, 7)
SHAPES = {"few": ((3, 1), (3, 1)), "usual": ((5, 4), (5, 4)), "many": ((10, 6), (8, 6))}


def scores(shape: tuple[int, int], shift: float, seed: int) -> np.ndarray:
    """Return skewed scores with ties, rounded so that JSON holds them exactly."""
    rng = np.random.default_rng(seed)
    return np.round(rng.gamma(2.0, 0.5, shape) + shift + 0.2 * np.arange(shape[1]), 1)


def interval(ends: np.ndarray) -> list[float]:
    """Return the two ends of an interval."""
    return [float(end) for end in np.ravel(ends)]


def case(shapes: tuple[tuple[int, int], tuple[int, int]], seed: int) -> dict[str, object]:
    """Ask rliable everything about one pair of groups."""
    ours, theirs = scores(shapes[0], 0.3, seed), scores(shapes[1], 0.0, seed + 1)

    def iqm(values: np.ndarray) -> np.ndarray:
        return np.array([metrics.aggregate_iqm(values)])

    points, ends = library.get_interval_estimates({"ours": ours}, iqm, reps=REPS)
    profile, band = library.create_performance_profile({"ours": ours}, THRESHOLDS, reps=REPS)
    better, apart = library.get_interval_estimates({"x": (ours, theirs)}, metrics.probability_of_improvement, reps=REPS)
    return {
        "ours": ours.tolist(),
        "theirs": theirs.tolist(),
        "iqm": [float(points["ours"][0]), *interval(ends["ours"])],
        "profile": [float(share) for share in profile["ours"]],
        "profile_band": np.asarray(band["ours"]).tolist(),
        "improvement": [float(np.ravel(better["x"])[0]), *interval(apart["x"])],
    }


if __name__ == "__main__":
    np.random.seed(0)  # rliable draws from NumPy's global generator
    found = {name: case(shapes, 10 * place) for place, (name, shapes) in enumerate(SHAPES.items())}
    document = {"rliable": "1.2.0", "reps": REPS, "thresholds": THRESHOLDS.tolist(), "cases": found}
    Path(__file__).with_name("rliable.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
