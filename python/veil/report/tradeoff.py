"""The trade-off curve as inline SVG: AUROC against ε, beside the methods that have no ε."""

import itertools
import math
import xml.etree.ElementTree as ET

from veil.report.model import Estimate, Method, Model
from veil.report.svg import Axis, add, nice_axis, percent, plot, render
from veil.report.text import label, plain

__all__ = ["Places", "tradeoff_axis", "tradeoff_figure"]

_HEIGHT, _TOP, _BOTTOM = 300, 14, 46
_FLOOR = _HEIGHT - _BOTTOM
_CURVE = (0.05, 0.69)  # where the smallest and the largest ε are, as parts of the width
_STRIP = (0.87, 0.98)  # where the methods without ε are
_CROWDED = 5  # with more dots than this, only the ends have room for their values


class Places:
    """Where each method is between the left end, 0, and the right end, 1.

    Parameters
    ----------
    model : Model
        The study. Its ε are placed on a log scale; methods without ε have a strip to the right,
        or all the width when no method has one.
    """

    def __init__(self, model: Model) -> None:
        logs = sorted({math.log(m.epsilon) for m in model.of_kind("dp") if m.epsilon})
        self._span = (logs[0], logs[-1]) if logs else None
        references = model.references()
        ends = _STRIP if logs else (0.2, 0.8)
        steps = max(1, len(references) - 1)
        self._references = {
            m.id: ends[0] + (ends[1] - ends[0]) * i / steps for i, m in enumerate(references)
        }

    def of(self, method: Method) -> float:
        """Return the place of one method."""
        if method.epsilon is None or self._span is None:
            return self._references[method.id]
        first, last = self._span
        part = 0.5 if first == last else (math.log(method.epsilon) - first) / (last - first)
        return _CURVE[0] + part * (_CURVE[1] - _CURVE[0])

    @property
    def strip(self) -> float:
        """The middle of the methods without ε."""
        return sum(self._references.values()) / max(1, len(self._references))

    @property
    def divider(self) -> float:
        """Where the curve ends and the strip begins."""
        return (_CURVE[1] + _STRIP[0]) / 2

    @property
    def curve(self) -> float:
        """The middle of the curve."""
        return sum(_CURVE) / 2


def tradeoff_axis(model: Model) -> Axis:
    """Choose the one vertical axis of both trade-off plots."""
    ends = [
        end
        for method in [*model.references(), *model.of_kind("dp")]
        for scope in ("mean", "worst")
        for end in model.estimate(method, "auroc", scope).ends()
    ]
    return nice_axis([min(1.0, max(0.0, end)) for end in ends] or [0.5, 1.0])


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
    shown = [*model.references(), *model.of_kind("dp")]
    told = "; ".join(f"{m.label} {model.estimate(m, 'auroc', scope).sentence}" for m in shown)
    root = plot(
        "tradeoff",
        _HEIGHT,
        name,
        title=title,
        description=f"AUROC, mean and 95 % interval: {told}.",
    )
    axis, places = tradeoff_axis(model), Places(model)
    for tick in axis.ticks:
        y = _down(axis, tick)
        add(root, "line", class_="grid", x1="0%", x2="100%", y1=y, y2=y)
        add(root, "text", axis.tick_text(tick), class_="tick end", x=-7, y=y + 4)
    _horizontal(root, model, places)
    for method in model.references():
        _reference(root, method, model.estimate(method, "auroc", scope), axis, places)
    for curve in model.curves():
        _curve(root, curve, [model.estimate(m, "auroc", scope) for m in curve], axis, places)
    return render(root)


def _horizontal(root: ET.Element, model: Model, places: Places) -> None:
    private = {m.epsilon: m for m in model.of_kind("dp")}
    if not private:
        for method in model.references():
            x = percent(places.of(method))
            add(root, "text", method.label, class_="tick", x=x, y=_FLOOR + 20)
        return
    for method in private.values():
        x = percent(places.of(method))
        add(root, "text", plain(method.epsilon), class_="tick", x=x, y=_FLOOR + 20)
    x = percent(places.divider)
    add(root, "line", class_="divider", x1=x, x2=x, y1=_TOP, y2=_FLOOR)
    add(root, "text", "no ε", class_="tick", x=percent(places.strip), y=_FLOOR + 20)
    told = "ε (smaller is more private)"
    add(root, "text", told, class_="axis", x=percent(places.curve), y=_HEIGHT - 6)


def _reference(
    root: ET.Element, method: Method, value: Estimate, axis: Axis, places: Places
) -> None:
    if value.mean is None:
        return
    group = add(root, "g", class_=f"reference {method.kind}")
    y = _down(axis, value.mean)
    add(group, "line", class_="level", x1="0%", x2="100%", y1=y, y2=y)
    mark = _mark(group, method, value, axis, percent(places.of(method)))
    add(mark, "circle", class_="point", cx=percent(places.of(method)), cy=y, r=4)


def _curve(
    root: ET.Element, curve: list[Method], values: list[Estimate], axis: Axis, places: Places
) -> None:
    group = add(root, "g", class_="curve dp")
    drawn = [
        (method, value, percent(places.of(method)), _down(axis, value.mean))
        for method, value in zip(curve, values, strict=True)
        if value.mean is not None
    ]
    for (_, _, x1, y1), (_, _, x2, y2) in itertools.pairwise(drawn):
        add(group, "line", class_="segment", x1=x1, x2=x2, y1=y1, y2=y2)
    for i, (method, value, x, y) in enumerate(drawn):
        mark = _mark(group, method, value, axis, x)
        add(mark, "circle", class_="dot", cx=x, cy=y, r=4.5)
        if len(drawn) <= _CROWDED or i in (0, len(drawn) - 1):
            add(mark, "text", value.shown, class_="value", x=x, dx=6, y=min(y + 17, _FLOOR - 4.0))


def _mark(parent: ET.Element, method: Method, value: Estimate, axis: Axis, x: str) -> ET.Element:
    mark = add(parent, "g", class_="mark", data_method=label(method.id))
    add(mark, "title", f"{method.label}: {value.sentence}")
    if value.low is not None and value.high is not None:
        high, low = _down(axis, value.high), _down(axis, value.low)
        add(mark, "line", class_="whisker", x1=x, x2=x, y1=high, y2=low)
        for end in (high, low):  # a short thick line is a cap whose width needs no percentage
            add(mark, "line", class_="cap", x1=x, x2=x, y1=end - 0.75, y2=end + 0.75)
    return mark


def _down(axis: Axis, value: float) -> float:
    return _FLOOR - axis.fraction(value) * (_FLOOR - _TOP)
