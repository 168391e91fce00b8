"""The verdict in words, on series whose numbers can be counted by hand."""

import numpy as np

from dormancy.metrics import Measurement
from dormancy.report.content.layer_table import layer_table
from dormancy.report.content.runs import read_inputs
from dormancy.report.content.summary import Summary, summarise
from dormancy.scanning.series import DormancySeries
from tests.report.runs import layer, scan_of

QUIET, LOUD = 0.05, 1.5


def verdict(series: DormancySeries, tau: float = 0.1) -> Summary:
    inputs = read_inputs([series])
    return summarise(inputs, inputs.runs[0], tau)


def texts(summary: Summary) -> list[str]:
    return [finding.text for finding in summary.findings]


def sinking(checkpoints: int = 8) -> DormancySeries:
    """Return a run of two layers: 'fc1' has 4 of 10 neurons dormant from the third checkpoint on, at last 5."""
    scans = []
    for k in range(checkpoints):
        dormant = 0 if k < 2 else 4 if k < checkpoints - 1 else 5
        scores = [QUIET] * dormant + [LOUD] * (10 - dormant)
        rank = Measurement(layers={"fc1": 9.0 - k}, detail={"attainable": {"fc1": 10}})
        found = (layer("conv1", [LOUD] * 6), layer("fc1", scores, penultimate=True))
        scans.append(scan_of(*found, step=1000 * k, measurements={"srank": rank}))
    return DormancySeries.of("dqn", scans)


def test_the_headline_and_the_cards_are_the_counts() -> None:
    summary = verdict(sinking())
    assert summary.headline == "31 % of the neurons are dormant at tau = 0.1, up from 0 % at the first checkpoint."
    share, worst, stay, rank = summary.cards
    assert (share.value, share.detail) == ("31 %", "5 of 16 neurons; mean of the layers 25 %")
    assert (worst.value, worst.detail) == ("50 %", "of fc1: 5 of 10 neurons")
    assert (stay.value, stay.detail) == ("80 %", "of them have been dormant for more than 5 checkpoints")
    assert (rank.value, rank.detail) == ("2", "of 10 attainable (srank of fc1)")


def test_a_layer_is_described_in_one_sentence() -> None:
    assert texts(verdict(sinking()))[0] == (
        "fc1: 50 % dormant at the last checkpoint, 80 % of them for more than 5 checkpoints; effective rank 2 of 10."
    )


def test_a_lost_rank_is_named() -> None:
    assert "fc1: effective rank fell by 78 %, from 9 to 2." in texts(verdict(sinking()))


def test_a_healthy_network_is_called_so_with_its_highest_layer() -> None:
    (text,) = texts(verdict(DormancySeries.of("dqn", [scan_of(layer("fc1", [LOUD] * 20))])))
    assert text == "No layer has 10 % or more dormant neurons; highest: fc1, 0 %."


def test_one_checkpoint_says_nothing_about_staying_dormant() -> None:
    summary = verdict(DormancySeries.of("dqn", [scan_of(layer("fc1", [QUIET, LOUD]))]))
    assert summary.headline == "50 % of the neurons are dormant at tau = 0.1."
    assert (summary.cards[2].value, summary.cards[2].detail) == ("–", "one checkpoint cannot tell")
    assert texts(summary) == ["fc1: 50 % dormant at the last checkpoint."]


def test_a_series_without_a_rank_says_so() -> None:
    card = verdict(DormancySeries.of("dqn", [scan_of(layer("fc1", [LOUD]))])).cards[3]
    assert (card.value, card.detail) == ("–", "not measured at the last checkpoint")


def test_what_is_not_finite_is_an_error_and_counts_on_neither_side() -> None:
    scores = [np.nan, QUIET, LOUD, LOUD]
    summary = verdict(DormancySeries.of("dqn", [scan_of(layer("fc1", scores), step=k) for k in range(3)]))
    assert summary.findings[0].level == "error"
    assert summary.findings[0].text == (
        "fc1: up to 1 neuron gave activations that are not finite, at 3 checkpoints of 3; they count as neither "
        "dormant nor alive."
    )
    assert summary.cards[0].value == "25 %"


def test_warnings_of_the_scans_are_told_once() -> None:
    scans = [scan_of(layer("fc1", [LOUD] * 9), step=k, warnings=(f"only {k + 3} rows",)) for k in range(4)]
    scans.append(scan_of(layer("fc1", [LOUD] * 9), step=9, warnings=("layer 'fc1' is silent",)))
    found = texts(verdict(DormancySeries.of("dqn", scans)))
    assert "Only 6 rows (similarly at 4 checkpoints)." in found
    assert "Layer 'fc1' is silent (at 1 checkpoint)." in found
    assert len(found) == 3


def test_a_warning_about_values_that_are_not_finite_is_not_told_twice() -> None:
    scan = scan_of(layer("fc1", [np.nan, LOUD]), warnings=("layer 'fc1': 1 of 2 neurons gave infinite values",))
    assert [finding.level for finding in verdict(DormancySeries.of("dqn", [scan])).findings] == ["error", "note"]


def test_the_table_of_layers_ends_with_the_network() -> None:
    table = layer_table(read_inputs([sinking()]))
    names = [column.label for column in table.columns]
    rows = [dict(zip(names, row, strict=True)) for row in (*table.rows, *table.foot)]
    assert [row["layer"] for row in rows] == ["conv1", "fc1", "whole network"]
    assert [row["dormant, tau 0.1"] for row in rows] == [0, 0.5, 5 / 16]
    assert [row["stay dormant"] for row in rows][1:] == [0.8, 0.8]
    assert [row["srank"] for row in rows][1] == 2


def test_obstacles_and_caveats_are_remarked() -> None:
    found = (
        layer("c2", [LOUD], obstacle="added to another branch at `add`"),
        layer("c3", [LOUD], caveat="normalised together by LayerNorm"),
    )
    table = layer_table(read_inputs([DormancySeries.of("dqn", [scan_of(*found)])]))
    remarks = [row[-1] for row in table.rows]
    assert remarks == [
        "not rewritable: added to another branch at `add`",
        "rewriting moves live neurons: normalised together by LayerNorm",
    ]
