"""Elements of SVG and HTML as escaped text: nothing that came from a file is ever pasted in raw."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape

__all__ = ["element", "places", "polyline"]


def element(name: str, /, *children: Markup | str, **attributes: object) -> Markup:
    """Return one element; ``_`` in an attribute's name stands for ``-``, a trailing one is dropped, None is left out.

    >>> print(element("text", "a < b", class_="note", data_x=1.50))
    <text class="note" data-x="1.5">a &lt; b</text>
    """
    named = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not None)
    inside = Markup("").join(Markup(' {}="{}"').format(key, value) for key, value in named)
    if not children:
        return Markup("<{}{}/>").format(name, inside)
    return Markup("<{}{}>{}</{}>").format(name, inside, Markup("").join(map(escape, children)), name)


def places(value: float) -> str:
    """Return a coordinate with at most one decimal.

    >>> places(12.04), places(12.0), places(-0.01)
    ('12', '12', '0')
    """
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")


def polyline(points: Iterable[tuple[float, float]]) -> str:
    """Return path data through points; a point with NaN lifts the pen.

    >>> polyline([(0, 0), (1, 2), (2, float("nan")), (3, 1)])
    'M0 0L1 2M3 1'
    """
    path, pen = [], "M"
    for x, y in points:
        if x != x or y != y:
            pen = "M"
            continue
        path.append(f"{pen}{places(x)} {places(y)}")
        pen = "L"
    return "".join(path)
