"""The chapter on filters and activation maps: what is drawn, what is said, how small it stays."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from dormancy.activation_maps.maps import Convolutions, Filters, NeuronMaps
from dormancy.activation_maps.neurons import choose_neurons
from dormancy.report import render_html, write_png
from dormancy.report.content.runs import read_inputs
from dormancy.report.content.sections.activation_maps import convolutions_section
from dormancy.report.model import GalleryPanel, Tile
from dormancy.report.palette import PICTURE, rgb
from dormancy.report.render.png import tile_uri
from dormancy.scanning.series import DormancySeries
from tests.report.runs import layer, made_up_run, scan_of

SIZES = {"conv1": 20, "conv2": 9, "conv3": 7}


def made_up_view(series: DormancySeries, seed: int = 0) -> Convolutions:
    """Return maps and filters of noise, which compress worst."""
    rng = np.random.default_rng(seed)
    choices = choose_neurons([one for one in series.scans[-1].layers if one.name in SIZES], 0.1)
    maps = []
    for place, one in enumerate(choices):
        strongest = (2 * place, 2 * place + 1) if one.score else ()
        rows = (*strongest, 1000, 1001, 1002)
        values = rng.random((len(rows), SIZES[one.layer], SIZES[one.layer])) * (one.score > 0)
        maps.append(NeuronMaps(one, rows, len(strongest), values, values.mean(axis=(1, 2))))
    rows_used = {row for one in maps for row in one.rows}
    frames = {row: rng.random((42, 42)) for row in sorted(rows_used)}
    first = series.scans[-1].layers[0]
    weights = rng.normal(size=(first.size, 4, 8, 8)).astype(np.float32)
    return Convolutions(Filters(first.name, weights), tuple(maps), frames, (1000, 1001, 1002))


def decoded(tile: Tile, slot: int = 0) -> np.ndarray:
    picture = base64.b64decode(tile_uri(tile, slot).partition(",")[2])
    return np.asarray(matplotlib.image.imread(io.BytesIO(picture), format="png"))


@pytest.mark.parametrize("width", [4, 5])
def test_a_tile_is_its_levels_in_colours(width: int) -> None:
    levels = np.arange(3 * width, dtype=np.uint8).reshape(3, width)
    grey = decoded(Tile(levels, "grey", ""))
    np.testing.assert_allclose(grey[:, :, 0], levels / 15, atol=1 / 255)
    ink = decoded(Tile(levels, "ink", ""), slot=1)
    np.testing.assert_allclose(ink[:, :, 3], levels / 15, atol=1 / 255)
    np.testing.assert_allclose(ink[0, 1, :3] * 255, rgb(PICTURE[1]), atol=0.5)
    signed = decoded(Tile(levels, "signed", ""))
    assert signed[0, 0, 3] == 0
    assert (signed[1:, :, 3] == 1).all()


def test_a_filter_is_drawn_with_zero_as_mid_grey() -> None:
    run = DormancySeries.of("dqn", [scan_of(layer("conv1", [0.0, 2.0]))])
    weights = np.zeros((2, 2, 1, 2), dtype=np.float32)
    weights[1] = [[[-0.5, 0.0]], [[0.25, 0.5]]]
    section = convolutions_section(read_inputs([run], (), [Convolutions(Filters("conv1", weights), (), {}, ())]))
    assert section is not None
    (panel,) = section.figures[0].panels
    assert isinstance(panel, GalleryPanel)
    assert [item.neuron for item in panel.items] == [0, 1]
    assert panel.items[1].tiles[0].levels.tolist() == [[1, 8, 0, 12, 15]]
    assert panel.items[1].tiles[0].alt == "Filter of neuron 1: weights from -0.5 to 0.5"
    assert section.figures[0].table is not None
    assert section.figures[0].table.rows[1][2:] == (1, 2.0, -0.5, 0.5, 0.3125)


def test_pictures_belong_to_the_picker_of_their_layer() -> None:
    runs = [made_up_run("dqn", 3), made_up_run("redo", 3, seed=1)]
    text = render_html(runs, seen=[made_up_view(runs[0]), made_up_view(runs[1], 1)])
    for one in made_up_view(runs[1], 1).maps:
        place = f"neurons-{list(SIZES).index(one.choice.layer)}"
        assert f'<tr data-of="{place}" data-panel="1" data-neuron="{one.choice.neuron}">' in text
    alts = re.findall(r'<td class="ink"><img [^>]*alt="([^"]*)"', text)
    assert len(alts) > 60
    assert all(re.fullmatch(r"Map of neuron \d+ on observation \d+: mean \S+", alt) for alt in alts)


def test_a_run_that_was_not_looked_at_has_no_chapter() -> None:
    runs = [made_up_run("dqn", 2), made_up_run("redo", 2)]
    assert convolutions_section(read_inputs(runs)) is None
    section = convolutions_section(read_inputs(runs, (), [None, made_up_view(runs[1])]))
    assert section is not None
    assert {panel.title for figure in section.figures for panel in figure.panels} == {"redo"}


def test_two_runs_of_a_whole_nature_cnn_stay_small() -> None:
    """Noise in every picture: no real network gives larger ones."""
    runs = [made_up_run(name, 8, taus=(0.1, 0.0), seed=seed) for seed, name in enumerate(("dqn", "redo"))]
    seen = [made_up_view(run, seed) for seed, run in enumerate(runs)]
    plain, full = (len(render_html(runs, seen=each).encode()) for each in ((), seen))
    assert full - plain < 300_000
    assert full < 650_000


def test_filters_and_maps_become_figures(tmp_path: Path) -> None:
    run = made_up_run("dqn", 1, taus=(0.1,), ranked=False)
    files = write_png(tmp_path, [run], seen=[made_up_view(run)])
    assert {"filters", "maps-0", "maps-1", "maps-2"} <= {re.sub(r"^\d+-|\.png$", "", file.name) for file in files}
    for file in files:
        picture = matplotlib.image.imread(file)
        assert picture.shape[1] == 1440
        assert picture[:, :, :3].min() < 0.2
