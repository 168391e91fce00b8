"""A series against sets computed by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from dormancy.errors import FormatError, InputError, UsageError
from dormancy.metrics import Measurement
from dormancy.scanning.result import DormancyScan, LayerScore
from dormancy.scanning.series import DormancySeries


def scan_of(step: int | None, **layers: list[float]) -> DormancyScan:
    scores = tuple(
        LayerScore(name, "relu", np.array(values, dtype=np.float64), None, None, False)
        for name, values in layers.items()
    )
    return DormancyScan(scores, taus=(0.1,), measurements={}, observations=8, agent_step=step)


@pytest.fixture
def series() -> DormancySeries:
    """Dormant sets of layer a: {}, {0, 1}, {1, 2}, {1}."""
    return DormancySeries.of(
        "run",
        [
            scan_of(30, a=[1.0, 0.0, 2.0, 1.0], b=[0.0, 2.0]),
            scan_of(0, a=[1.0, 1.0, 1.0, 1.0], b=[1.0, 1.0]),
            scan_of(10, a=[0.0, 0.0, 2.0, 2.0], b=[1.0, 1.0]),
            scan_of(20, a=[2.0, 0.0, 0.05, 1.95], b=[1.0, 1.0]),
        ],
    )


def test_scans_are_ordered_by_step(series: DormancySeries) -> None:
    assert series.steps == (0, 10, 20, 30)
    assert series.step_unit == "agent step"
    assert series.fractions("a").tolist() == [0.0, 0.5, 0.5, 0.25]
    assert series.fractions().tolist() == pytest.approx([0, 2 / 6, 2 / 6, 2 / 6])


def test_overlap_with_each_history(series: DormancySeries) -> None:
    nan = math.nan
    assert series.overlap("previous", "a") == pytest.approx([nan, nan, 0.5, 1.0], nan_ok=True)
    assert series.overlap("cumulative", "a") == pytest.approx([nan, nan, 0.5, 1.0], nan_ok=True)
    assert series.overlap("first", "a") == pytest.approx([nan] * 4, nan_ok=True)
    assert series.retained("a") == pytest.approx([nan, nan, 0.5, 0.5], nan_ok=True)
    with pytest.raises(UsageError, match="unknown history"):
        series.overlap("last", "a")  # type: ignore[arg-type]


def test_the_matrix_is_blank_where_a_set_is_empty(series: DormancySeries) -> None:
    matrix = series.overlap_matrix("a")
    assert np.isnan(matrix[0]).all()
    assert np.isnan(matrix[:, 0]).all()
    assert matrix[1:, 1:].tolist() == [[1.0, 0.5, 1.0], [0.5, 1.0, 1.0], [1.0, 1.0, 1.0]]


def test_json_and_frame(series: DormancySeries) -> None:
    again = DormancySeries.from_dict(json.loads(json.dumps(series.to_dict())))
    assert again.to_dict() == series.to_dict()
    assert series.to_frame().loc[(20, "a"), "dormant@0.1"] == 2
    with pytest.raises(FormatError, match="not a series"):
        DormancySeries.from_dict({"schema": "something else"})


def test_another_network_is_refused() -> None:
    with pytest.raises(InputError, match="layer 'a' has 3 neurons, not 2"):
        DormancySeries.of("run", [scan_of(0, a=[1.0, 1.0]), scan_of(1, a=[1.0, 1.0, 1.0])])


def test_without_steps_the_given_order_holds() -> None:
    series = DormancySeries.of("run", [scan_of(None, a=[0.0]), scan_of(3, a=[1.0])])
    assert series.steps == (0, 1)
    assert series.step_unit == "checkpoint"


def test_an_empty_series_and_a_wrong_layer(series: DormancySeries) -> None:
    empty = DormancySeries.of("nothing", [])
    assert len(empty) == 0
    assert empty.fractions().shape == (0,)
    assert empty.overlap_matrix().shape == (0, 0)
    with pytest.raises(UsageError, match="unknown layer"):
        series.fractions("c")


def with_drift(step: int, drift: float | None) -> DormancyScan:
    measured = {} if drift is None else {"drift": Measurement(network=drift, layers={"a": 2 * drift})}
    layer = LayerScore("a", "relu", np.ones(2), None, None, True)
    return DormancyScan((layer,), (0.1,), measured, 4, agent_step=step)


def test_a_metric_is_a_curve_with_gaps_where_it_was_not_measured() -> None:
    series = DormancySeries.of("run", [with_drift(20, 0.5), with_drift(10, None), with_drift(30, np.inf)])
    assert series.curve("drift").tolist() == pytest.approx([np.nan, 0.5, np.inf], nan_ok=True)
    assert series.curve("drift", "a")[1] == 1.0
    assert series.curves() == {"drift": {"network": [None, 0.5, None], "layers": {"a": [None, 1.0, None]}}}
    with pytest.raises(UsageError, match="did you mean 'drift'"):
        series.curve("drit")
    with pytest.raises(UsageError, match="unknown layer 'b'"):
        series.curve("drift", "b")


def test_json_says_what_the_series_is_and_is_read_back() -> None:
    series = DormancySeries.of("run", [with_drift(20, 0.5), with_drift(10, None)])
    document = json.loads(series.to_json())
    assert (document["schema"], document["step_unit"], document["steps"]) == (
        "dormancy.series/1",
        "agent step",
        [10, 20],
    )
    assert DormancySeries.from_dict(document).to_json() == series.to_json()
    assert DormancyScan.from_dict(json.loads(series.scans[1].to_json())).to_json() == series.scans[1].to_json()


def test_onsets_and_recoveries_are_counted_between_neighbours(series: DormancySeries) -> None:
    dormant = series.dormant().astype(int)
    changes = np.diff(dormant, axis=0)
    assert np.isnan(series.onsets()[0])
    assert np.isnan(series.recoveries()[0])
    np.testing.assert_array_equal(series.onsets()[1:], (changes > 0).sum(axis=1))
    np.testing.assert_array_equal(series.recoveries()[1:], (changes < 0).sum(axis=1))
    assert series.recoveries()[1:].sum() > 0
