"""Tables: nothing is lost at 80 columns, nothing from a file acts on the terminal, and what is undefined is blank."""

import io
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from dormancy.io import Source
from dormancy.metrics import Measurement
from dormancy.scanning.result import DormancyScan, LayerScore
from dormancy.scanning.series import DormancySeries
from dormancy_cli.scan.collect import Group
from dormancy_cli.scan.tables import draw_group, draw_scan


def layer(name: str, scores: Sequence[float], **notes: str) -> LayerScore:
    return LayerScore(
        name=name,
        activation="relu",
        scores=np.array(scores, dtype=np.float64),
        obstacle=notes.get("obstacle"),
        caveat=notes.get("caveat"),
        penultimate=bool(notes.get("penultimate")),
    )


def scan_of(*layers: LayerScore, step: int = 1_000_000, taus: tuple[float, ...] = (0.1, 0.025, 0.0)) -> DormancyScan:
    return DormancyScan(
        layers=layers,
        taus=taus,
        measurements={"srank": Measurement(layers={"fc1": 212.0}), "churn": Measurement(network=0.25)},
        observations=1024,
        checkpoint=Source(f"runs/dqn-breakout-seed0/checkpoints/step_{step:08d}.pt", "dormancy.checkpoint", "0" * 64),
        agent_step=step,
        env_id="ALE/Breakout-v5",
    )


CONV = layer("conv1", [0.0, 0.05, 1.95, 2.0], obstacle="added to another branch at 'add'")
DENSE = layer("fc1", [0.0, 0.0, 0.0, 4.0], caveat="normalised together by LayerNorm", penultimate="yes")


def page(draw: Callable[[Console], None], width: int) -> str:
    """Print as on a terminal of that width, then take the colours away."""
    stream = io.StringIO()
    draw(Console(file=stream, width=width, force_terminal=True, color_system=None, markup=False, highlight=False))
    return stream.getvalue()


def group_of(*scans: DormancyScan) -> Group:
    series = DormancySeries.of("breakout", scans)
    return Group("breakout", series.scans, series)


SERIES = group_of(*(scan_of(CONV, DENSE, step=step) for step in (250_000, 500_000, 1_250_000)))


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_is_wide_enough(width: int) -> None:
    for text in (
        page(lambda console: draw_scan(console, scan_of(CONV, DENSE)), width),
        page(lambda console: draw_group(console, SERIES), width),
    ):
        assert max(map(cell_len, text.splitlines())) <= width
        assert "…" not in text
        assert "tau 0.025" in text


def test_every_share_is_count_and_percentage() -> None:
    text = page(lambda console: draw_scan(console, scan_of(CONV, DENSE)), 120)
    (row,) = (line for line in text.splitlines() if line.startswith("conv1 "))
    assert row.split()[:11] == ["conv1", "relu", "4", "2", "50.0", "%", "1", "25.0", "%", "1", "25.0"]
    (total,) = (line for line in text.splitlines() if line.startswith("network "))
    assert total.split()[:4] == ["network", "8", "5", "62.5"]


def test_obstacles_caveats_and_other_metrics_are_told() -> None:
    text = page(lambda console: draw_scan(console, scan_of(CONV, DENSE)), 120)
    assert "conv1: scored, but not to be recycled or pruned: added to another branch at 'add'" in text
    assert "fc1: recycling or pruning it also moves live neurons: normalised together by LayerNorm" in text
    assert "network: churn 0.25" in text


def test_what_is_undefined_is_blank() -> None:
    awake = layer("fc1", [1.0, 1.0], penultimate="yes")
    text = page(lambda console: draw_group(console, group_of(scan_of(awake, step=1), scan_of(awake, step=2))), 80)
    assert "nan" not in text
    broken = layer("fc1", [float("nan"), 1.0], penultimate="yes")
    assert "nan" not in page(lambda console: draw_scan(console, scan_of(broken)), 80)


def test_names_from_files_stay_text() -> None:
    hostile = layer("[red]fc\x1b[2J\u202e1[/red]:smile:", [0.0, 1.0], penultimate="yes")
    pair = [scan_of(hostile, step=step, taus=(0.1,)) for step in (1, 2)]
    for text in (
        page(lambda console: draw_scan(console, scan_of(hostile, taus=(0.1,))), 120),
        page(lambda console: draw_group(console, group_of(*pair)), 120),
    ):
        assert "[red]fc\\x1b[2J\\u202e1[/red]:smile:" in text
        assert "\x1b[2J" not in text


def test_a_very_long_name_is_folded_not_cut() -> None:
    name = "encoder." * 30
    text = page(lambda console: draw_scan(console, scan_of(layer(name, [0.0, 1.0]))), 80)
    table = text[text.index("─\n") + 2 :].split("\n ")[0]
    assert "".join(line.split()[0] for line in table.splitlines()) == name
