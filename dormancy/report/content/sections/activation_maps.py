"""What the convolutions look for, and where in the picture they find it: filters and activation maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dormancy.activation_maps.maps import Convolutions, Filters, NeuronMaps
from dormancy.metrics import FloatArray
from dormancy.report.content.runs import Inputs, Run, Scope
from dormancy.report.content.sections.common import step_words
from dormancy.report.model import Cell, Column, Figure, GalleryItem, GalleryPanel, Levels, Section, Table, Tile
from dormancy.report.palette import TILE_LEVELS
from dormancy.text.numbers import count, number, plural

__all__ = ["convolutions_section"]

MOST_FILTERS = 96
MOST_CHANNELS = 8
TYPICAL = ("quiet", "usual", "busy")
STRONGEST = ("strongest", "second")


def _levels(values: FloatArray, top: float) -> Levels:
    """Return values in 0..top as levels."""
    return np.round((TILE_LEVELS - 1) * np.clip(values / (top or 1.0), 0, 1)).astype(np.uint8)


def _strip(kernels: FloatArray) -> Levels:
    """Put the kernels of one filter, (channels, height, width), side by side, each weight relative to the largest."""
    middle = TILE_LEVELS // 2
    largest = float(np.abs(kernels).max()) or 1.0
    scaled = np.round(middle + (middle - 1) * kernels / largest).astype(np.uint8)
    apart = [np.pad(one, ((0, 0), (0, 1))) for one in scaled]
    return np.concatenate(apart, axis=1)[:, :-1]


def _filter_item(run: Run, scope: Scope, filters: Filters, neuron: int) -> GalleryItem:
    kernels = np.nan_to_num(filters.weights[neuron][:MOST_CHANNELS].astype(np.float64))
    score = float(run.layer(scope).scores[neuron])
    low, high = float(kernels.min()), float(kernels.max())
    alt = f"Filter of neuron {neuron}: weights from {number(low)} to {number(high)}"
    return GalleryItem(neuron, f"score {number(score)}", (Tile(_strip(kernels), "signed", alt),))


def _by_score(run: Run, scope: Scope, most: int) -> list[int]:
    """Return the neurons of a layer, the lowest score first; of very many so many, evenly spaced."""
    order = np.argsort(run.layer(scope).scores, kind="stable")
    return [
        int(order[place])
        for place in np.unique(np.linspace(0, order.size - 1, min(most, order.size)).round()).astype(int)
    ]


def _looked(inputs: Inputs) -> list[tuple[Run, Convolutions]]:
    return [(run, run.seen) for run in inputs.runs if run.seen is not None]


def _place(inputs: Inputs, run: Run, scope: Scope) -> tuple[str, int]:
    """Return the figure and the panel in which neurons of this layer are picked."""
    return f"neurons-{inputs.layers.index(scope)}", inputs.having(scope).index(run)


def _filters_of(inputs: Inputs) -> Iterator[tuple[Run, Scope, Filters]]:
    for run, seen in _looked(inputs):
        scope = next((one for one in inputs.layers if seen.filters and one.key == seen.filters.layer), None)
        if seen.filters is not None and scope is not None and run.has(scope):
            yield run, scope, seen.filters


def _filter_panel(inputs: Inputs, run: Run, scope: Scope, filters: Filters) -> GalleryPanel:
    items = tuple(_filter_item(run, scope, filters, one) for one in _by_score(run, scope, MOST_FILTERS))
    alt = f"{plural(len(items), 'filter')} of {scope.label} of {run.label}, the lowest score first"
    return GalleryPanel(run.label, alt, run.slot, "filters", items, of=_place(inputs, run, scope))


def _filter_table(drawn: Sequence[tuple[Run, Scope, Filters]]) -> Table:
    columns = (
        Column("run", "text"),
        Column("layer", "text"),
        Column("neuron", "count"),
        Column("score"),
        Column("lowest weight"),
        Column("highest weight"),
        Column("mean |weight|"),
    )
    rows: list[tuple[Cell, ...]] = []
    slots: list[int | None] = []
    for run, scope, filters in drawn:
        for one in _by_score(run, scope, MOST_FILTERS):
            kernels = filters.weights[one].astype(np.float64)
            ends = (float(kernels.min()), float(kernels.max()), float(np.abs(kernels).mean()))
            rows.append((run.label, scope.label, one, float(run.layer(scope).scores[one]), *ends))
            slots.append(run.slot)
    return Table("Filters of the first convolution", columns, tuple(rows), slots=tuple(slots))


def _filter_figure(inputs: Inputs) -> Figure | None:
    drawn = list(_filters_of(inputs))
    if not drawn:
        return None
    channels = max(filters.weights.shape[1] for _, _, filters in drawn)
    shown = f"the first {MOST_CHANNELS} of {channels}" if channels > MOST_CHANNELS else f"all {channels}"
    return Figure(
        key="filters",
        title=f"Filters of {drawn[0][1].label}, the first convolution",
        panels=tuple(_filter_panel(inputs, *one) for one in drawn),
        table=_filter_table(drawn),
        caption=f"One kernel for each input channel, {shown}; black is the most negative weight, mid-grey 0, white the "
        "most positive, each filter on its own scale. The lowest score comes first.",
    )


def _map_tiles(seen: Convolutions, one: NeuronMaps) -> tuple[Tile, ...]:
    """Return, for each observation that drives the neuron most, the observation and the map; then the typical maps."""
    top = float(np.nanmax(one.maps, initial=0.0))
    tiles: list[Tile] = []
    for place, row in enumerate(one.rows):
        strong = place < one.strongest
        name = STRONGEST[place] if strong else TYPICAL[place - one.strongest]
        if strong:
            tiles.append(_frame_tile(seen, row))
        alt = f"Map of neuron {one.choice.neuron} on observation {row}: mean {number(float(one.means[place]))}"
        tiles.append(Tile(_levels(np.nan_to_num(one.maps[place]), top), "ink", alt, name))
    return tuple(tiles)


def _frame_tile(seen: Convolutions, row: int, head: str = "") -> Tile:
    return Tile(_levels(seen.frames[row], 1.0), "grey", f"Observation {row}", head)


def _map_panel(inputs: Inputs, run: Run, scope: Scope) -> GalleryPanel | None:
    seen = run.seen
    chosen = [one for one in seen.maps if one.choice.layer == scope.key] if seen else []
    if seen is None or not chosen:
        return None
    items = tuple(
        GalleryItem(one.choice.neuron, f"score {number(one.choice.score)}, {one.choice.reason}", _map_tiles(seen, one))
        for one in chosen
    )
    heads = tuple(_frame_tile(seen, row, name) for row, name in zip(seen.typical, TYPICAL, strict=False))
    means = np.concatenate([one.means for one in chosen])
    alt = (
        f"Activation maps of {plural(len(items), 'neuron')} of {scope.label} of {run.label} at "
        f"{step_words(inputs, run.x[-1])}: mean activations from {number(float(np.nanmin(means)))} to "
        f"{number(float(np.nanmax(means)))}"
    )
    return GalleryPanel(run.label, alt, run.slot, "maps", items, heads, _place(inputs, run, scope))


def _map_rows(run: Run, scope: Scope) -> Iterator[tuple[Cell, ...]]:
    for one in run.seen.maps if run.seen else ():
        if one.choice.layer == scope.key:
            means: list[float | None] = [float(mean) for mean in one.means]
            strongest = [*means[: one.strongest], *[None] * (len(STRONGEST) - one.strongest)]
            typical = [*means[one.strongest :], *[None] * len(TYPICAL)][: len(TYPICAL)]
            yield (run.label, one.choice.neuron, one.choice.score, one.choice.reason, *strongest, *typical)


def _map_table(runs: Sequence[Run], scope: Scope) -> Table:
    names = (*(f"on its {name}" for name in STRONGEST), *(f"on the {name} one" for name in TYPICAL))
    columns = (
        Column("run", "text"),
        Column("neuron", "count"),
        Column("score"),
        Column("chosen as", "text"),
        *(Column(name, hint="mean absolute activation over all positions") for name in names),
    )
    rows = [(run.slot, row) for run in runs for row in _map_rows(run, scope)]
    return Table(
        f"{scope.label}: mean activation on each observation",
        columns,
        tuple(row for _, row in rows),
        slots=tuple(slot for slot, _ in rows),
    )


def _map_figure(inputs: Inputs, scope: Scope) -> Figure | None:
    runs = [run for run, _ in _looked(inputs) if run.has(scope)]
    drawn = [(run, _map_panel(inputs, run, scope)) for run in runs]
    panels = tuple(panel for _, panel in drawn if panel is not None)
    if not panels:
        return None
    return Figure(
        key=f"maps-{inputs.layers.index(scope)}",
        title=f"Activation maps of {scope.label}",
        panels=panels,
        table=_map_table([run for run, panel in drawn if panel is not None], scope),
    )


def _question(inputs: Inputs) -> str:
    rows = max(scan.observations for run, _ in _looked(inputs) for scan in run.scans[-1:])
    return (
        "What do the convolutions look for, and where do they find it? The last checkpoint on the observations of its "
        f"sample ({count(rows)}): in each layer the most dormant neurons, the lowest above tau = {inputs.tau:g}, the "
        "most active. Left, the observations that drive a neuron most, each beside its map; right, its maps on three "
        "typical ones, at the quartiles of how active the convolutions are. The stronger the colour, the larger the "
        "activation, each neuron on its own scale."
    )


def convolutions_section(inputs: Inputs) -> Section | None:
    """Return filters and activation maps of the runs whose convolutions were looked at; None where none were."""
    figures = [_filter_figure(inputs), *(_map_figure(inputs, scope) for scope in inputs.layers)]
    drawn = [figure for figure in figures if figure is not None]
    if not drawn:
        return None
    return Section("convolutions", "Filters", "Filters and activation maps", _question(inputs), drawn)
