"""The two figures of the page as inline SVG: the trade-off curve and the bars of each site."""

import math
import xml.etree.ElementTree as ET
from typing import Any

from veil.report.model import Estimate, Method, Model
from veil.report.svg import Axis, add, nice_axis, percent, plot, render
from veil.report.text import label, plain

__all__ = ["site_axis", "site_figure", "tradeoff_axis", "tradeoff_figure", "tradeoff_positions"]

_HEIGHT, _TOP, _BOTTOM = 300, 14, 46
_ROW, _AXIS = 21, 20
_CHANCE = 0.5


def tradeoff_positions(curve: list[Method]) -> list[float]:
    """Place the ε of a curve between 0 and 1 on a log scale, with room at both ends."""
    logs = [math.log(m.epsilon) for m in curve if m.epsilon is not None]
    if len(logs) < 2 or logs[0] == logs[-1]:
        return [0.5] * len(logs)
    return [0.07 + 0.86 * (x - logs[0]) / (logs[-1] - logs[0]) for x in logs]


def tradeoff_figure(model: Model, scope: str, name: str, title: str) -> str:
    """Draw AUROC against ε for the mean over sites or the worst site.

    Parameters
    ----------
    model : Model
        The study.
    scope : str
        ``"mean"`` or ``"worst"``.
    name : str
        Prefix of the element ids; unique on the page.
    title : str
        What the plot shows.

    Returns
    -------
    str
        An ``svg`` element. Both scopes share one vertical axis.
    """
    root = plot(
        "tradeoff", _HEIGHT, name, title=title, description=_tradeoff_description(model, scope)
    )
    axis = tradeoff_axis(model)
    bottom = _HEIGHT - _BOTTOM
    for tick in axis.ticks:
        y = _down(axis, tick, bottom)
        add(root, "line", class_="grid", x1="0%", x2="100%", y1=y, y2=y)
        add(root, "text", axis.tick_text(tick), class_="tick end", x=-7, y=y + 4)
    for method in model.references():
        _reference(root, method, model.estimate(method, "auroc", scope), axis, bottom)
    for curve in model.curves():
        _curve(root, curve, [model.estimate(m, "auroc", scope) for m in curve], axis, bottom)
    add(root, "text", "ε (smaller is more private)", class_="axis", x="50%", y=_HEIGHT - 6)
    return render(root)


def tradeoff_axis(model: Model) -> Axis:
    """Choose the one vertical axis of both trade-off plots."""
    shown = [*model.references(), *model.of_kind("dp")]
    ends = [
        end
        for method in shown
        for scope in ("mean", "worst")
        for end in model.estimate(method, "auroc", scope).ends()
    ]
    return nice_axis([min(1.0, max(0.0, end)) for end in ends] or [_CHANCE, 1.0])


def _reference(root: ET.Element, method: Method, value: Estimate, axis: Axis, bottom: int) -> None:
    if value.mean is None:
        return
    group = add(root, "g", class_=f"reference {method.kind}", data_method=label(method.id))
    add(group, "title", f"{method.label}: {value.sentence}")
    if value.low is not None and value.high is not None:
        top = _down(axis, value.high, bottom)
        height = max(1.0, _down(axis, value.low, bottom) - top)
        add(group, "rect", class_="band", x="0%", width="100%", y=top, height=height)
    y = _down(axis, value.mean, bottom)
    add(group, "line", class_="level", x1="0%", x2="100%", y1=y, y2=y)


def _curve(
    root: ET.Element, curve: list[Method], values: list[Estimate], axis: Axis, bottom: int
) -> None:
    group = add(root, "g", class_="curve dp")
    places = tradeoff_positions(curve)
    drawn = [
        (method, value, x)
        for method, value, x in zip(curve, values, places, strict=True)
        if value.mean is not None
    ]
    heights = [_down(axis, value.mean or 0.0, bottom) for _, value, _ in drawn]
    for i in range(1, len(drawn)):
        ends = {"x1": percent(drawn[i - 1][2]), "x2": percent(drawn[i][2])}
        add(group, "line", class_="segment", y1=heights[i - 1], y2=heights[i], **ends)
    for (method, value, x), y in zip(drawn, heights, strict=True):
        _dot(group, method, value, percent(x), y, axis, bottom, last=len(drawn) > 6)
    for method, x in zip(curve, places, strict=True):
        add(root, "text", plain(method.epsilon), class_="tick", x=percent(x), y=bottom + 20)


def _dot(
    group: ET.Element,
    method: Method,
    value: Estimate,
    x: str,
    y: float,
    axis: Axis,
    bottom: int,
    *,
    last: bool,
) -> None:
    mark = add(group, "g", class_="mark", data_method=label(method.id))
    add(mark, "title", f"{method.label}: {value.sentence}")
    low = y
    if value.low is not None and value.high is not None:
        high, low = _down(axis, value.high, bottom), _down(axis, value.low, bottom)
        add(mark, "line", class_="whisker", x1=x, x2=x, y1=high, y2=low)
        for end in (high, low):  # a short thick line is a cap whose width needs no percentage
            add(mark, "line", class_="cap", x1=x, x2=x, y1=end - 0.75, y2=end + 0.75)
    add(mark, "circle", class_="dot", cx=x, cy=y, r=4.5)
    if not last:
        add(mark, "text", value.shown, class_="value", x=x, y=min(low + 15, bottom - 3.0))


def _tradeoff_description(model: Model, scope: str) -> str:
    shown = [*model.references(), *model.of_kind("dp")]
    parts = [f"{m.label} {model.estimate(m, 'auroc', scope).sentence}" for m in shown]
    return "AUROC, mean and 95 % interval: " + "; ".join(parts) + "."


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
    for tick in (axis.low, _CHANCE, 1.0) if axis.low < _CHANCE else (_CHANCE, 0.75, 1.0):
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


def _down(axis: Axis, value: float, bottom: int) -> float:
    return bottom - axis.fraction(value) * (bottom - _TOP)
