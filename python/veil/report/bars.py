"""The bars of each site as inline SVG."""

import math
import xml.etree.ElementTree as ET
from typing import Any

from veil.report.model import Estimate, Method, Model
from veil.report.svg import Axis, add, percent, plot, render
from veil.report.text import label

__all__ = ["site_axis", "site_figure"]

_ROW, _AXIS = 21, 20
_CHANCE = 0.5


def site_figure(model: Model, site: dict[str, Any], name: str, axis: Axis) -> str:
    """Draw one site's AUROC as a bar per method, starting at 0.5, which is guessing.

    Parameters
    ----------
    model : Model
        The study.
    site : dict
        The site's entry in the data set's description.
    name : str
        Prefix of the element ids; unique on the page.
    axis : Axis
        Horizontal axis, shared by all sites: :func:`site_axis`.

    Returns
    -------
    str
        An ``svg`` element; a method's bar is marked where the site is its worst.
    """
    methods, worst = model.per_site_methods(), model.worst_sites
    values = [model.estimate(m, "auroc", f"site:{site['id']}") for m in methods]
    told = "; ".join(
        f"{m.label} {v.sentence}{', its worst site' if site['id'] in worst[m.id] else ''}"
        for m, v in zip(methods, values, strict=True)
    )
    height = _ROW * len(methods) + _AXIS
    root = plot(
        "bars",
        height,
        name,
        title=f"AUROC at site {label(site['id'])}",
        description=f"Mean and 95 % interval: {told}.",
    )
    for tick in _ticks(axis):
        x = percent(axis.fraction(tick))
        add(root, "line", class_="grid", x1=x, x2=x, y1=0, y2=height - _AXIS + 3)
        add(root, "text", f"{tick:.2g}", class_="tick", x=x, y=height - 3)
    for row, (method, value) in enumerate(zip(methods, values, strict=True)):
        _bar(root, method, value, axis, row * _ROW, site["id"] in worst[method.id])
    return render(root)


def site_axis(model: Model) -> Axis:
    """Choose one axis for the bars of all sites: from 0.5, or lower where a mean is lower."""
    means = [
        model.estimate(method, "auroc", f"site:{site['id']}").mean
        for method in model.per_site_methods()
        for site in model.sites
    ]
    low = min([_CHANCE, *(mean for mean in means if mean is not None)])
    low = math.floor(10 * low) / 10
    return Axis(low, 1.0, (low, 1.0))


def _ticks(axis: Axis) -> tuple[float, ...]:
    """List guessing and perfection, and what there is room for beside them."""
    wanted = sorted({axis.low, _CHANCE, 0.75, 1.0})
    return tuple(tick for tick in wanted if tick == _CHANCE or _is_clear(axis, tick))


def _is_clear(axis: Axis, tick: float) -> bool:
    return abs(axis.fraction(tick) - axis.fraction(_CHANCE)) > 0.2


def _bar(
    root: ET.Element,
    method: Method,
    value: Estimate,
    axis: Axis,
    top: int,
    worst: bool,
) -> None:
    middle = top + _ROW / 2
    add(root, "text", method.short, class_="name end", x=-8, y=middle + 4)
    shown = f"{value.shown} worst" if worst else value.shown
    look = "score worst" if worst else "score"
    add(root, "text", shown, class_=look, x="100%", dx=8, y=middle + 4)
    if value.mean is None:
        return
    ends = sorted((axis.fraction(_CHANCE), axis.fraction(value.mean)))
    group = add(
        root,
        "g",
        class_=f"bar {method.kind}{' worst' if worst else ''}",
        data_method=label(method.id),
    )
    add(group, "title", f"{method.label}: {value.sentence}")
    width = percent(ends[1] - ends[0])
    add(group, "rect", class_="fill", x=percent(ends[0]), y=top + 3.5, width=width, height=_ROW - 7)
    if value.low is not None and value.high is not None:
        span = {"x1": percent(axis.fraction(value.low)), "x2": percent(axis.fraction(value.high))}
        for look in ("halo", "whisker"):
            add(group, "line", class_=look, y1=middle, y2=middle, **span)
