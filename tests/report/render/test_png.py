"""Palette PNGs, read back by another library."""

import base64
import io

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from dormancy.report.content.runs import read_inputs
from dormancy.report.content.sections.neurons import neurons_section
from dormancy.report.palette import rgba_table
from dormancy.report.render.png import data_uri, encode_png
from tests.report.runs import made_up_run

levels = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=20), elements=st.integers(0, 39))


@settings(max_examples=50)
@given(levels, st.integers(0, 9))
def test_levels_and_colours_come_back(picture: np.ndarray, seed: int) -> None:
    colours = np.random.default_rng(seed).integers(0, 256, (40, 4), dtype=np.uint8)
    image = Image.open(io.BytesIO(encode_png(picture, colours)))
    assert image.mode == "P"
    np.testing.assert_array_equal(np.asarray(image), picture)
    np.testing.assert_array_equal(np.asarray(image.convert("RGBA")), colours[picture])


def test_the_picture_of_a_layer_holds_its_scores() -> None:
    series = made_up_run(checkpoints=7, layers=(("fc1", 20),))
    (figure,) = neurons_section(read_inputs([series])).figures
    (panel,) = figure.panels
    uri = data_uri(panel)
    image = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))
    assert image.size == (7, 20)
    dormant = np.asarray(image.convert("RGBA"))[:, :, 3] >= 0.5 * 255
    np.testing.assert_array_equal(dormant, series.dormant("fc1", 0.1).T[list(panel.rows)])


def test_colours_keep_the_order_of_the_ink() -> None:
    (figure,) = neurons_section(read_inputs([made_up_run(checkpoints=2, layers=(("fc1", 4),))])).figures
    alpha = rgba_table(figure.panels[0].scale, 0)[1:, 3]
    assert np.all(np.diff(alpha) <= 0)
