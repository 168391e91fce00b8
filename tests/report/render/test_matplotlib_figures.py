"""Figures as PNG files."""

from pathlib import Path

import pytest
from PIL import Image

from dormancy.errors import OutputError
from dormancy.report import write_png
from dormancy.report.render import matplotlib_figures as figures
from dormancy.scanning.series import DormancySeries
from tests.report.runs import layer, made_up_run, scan_of

LAYERS = (("conv1", 6), ("fc1", 12))


def twins(checkpoints: int = 3) -> list[DormancySeries]:
    cured = made_up_run("redo", checkpoints, layers=LAYERS, taus=(0.1,), cured=True)
    return [made_up_run("dqn", checkpoints, layers=LAYERS, taus=(0.1,)), cured]


def test_every_figure_is_a_picture_of_publication_size(tmp_path: Path) -> None:
    written = write_png(tmp_path / "new" / "figures", twins())
    assert [path.name for path in written][:3] == [
        "01-dormancy-network-tau-0.1.png",
        "02-dormancy-layers-tau-0.1.png",
        "03-neurons-0.png",
    ]
    assert sorted(written) == sorted((tmp_path / "new" / "figures").iterdir())
    for path in written:
        with Image.open(path) as image:
            assert image.width == 1440
            assert image.height > 300
            colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20) or ()}
            assert len(colours) > 10


def test_the_same_figures_are_the_same_bytes(tmp_path: Path) -> None:
    bare = [DormancySeries.of("a", [scan_of(layer("fc1", [0.0, 1.0, 2.0]))])]
    first, second = write_png(tmp_path / "a", bare), write_png(tmp_path / "b", bare)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_nothing_is_overwritten_unless_wanted(tmp_path: Path) -> None:
    bare = [DormancySeries.of("a", [scan_of(layer("fc1", [0.0, 1.0, 2.0]))])]
    (tmp_path / "02-sweep-shares.png").write_text("mine")
    with pytest.raises(OutputError, match=r"02-sweep-shares\.png: already exists"):
        write_png(tmp_path, bare)
    assert [path.name for path in tmp_path.iterdir()] == ["02-sweep-shares.png"]
    written = write_png(tmp_path, bare, force=True)
    assert written[1].read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        write_png(tmp_path / "file" / "figures", twins(1))


@pytest.mark.parametrize("name", [r"$\frac{", "层", "a\nb", "<b>"])
def test_names_are_drawn_as_they_are(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "DPI", 30)
    scans = [scan_of(layer(name, [0.0, 1.0, float("nan")]), step=k) for k in range(2)]
    assert write_png(tmp_path, [DormancySeries.of(name, scans)])


def test_nothing_to_draw_is_no_file(tmp_path: Path) -> None:
    assert write_png(tmp_path, []) == []
