"""Building SVG with ElementTree, which escapes by construction, and linear or log axes.

Plots are as wide as their container and keep their text size: x positions are percentages of the
plotting area, y positions are pixels. The style sheet leaves margins for the text outside it.
"""

import dataclasses
import math
import xml.etree.ElementTree as ET

from veil.report.text import clean

__all__ = ["Axis", "add", "nice_axis", "percent", "plot", "render"]


@dataclasses.dataclass(frozen=True, slots=True)
class Axis:
    """A linear scale between two values with its ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def fraction(self, value: float) -> float:
        """Place a value between 0 and 1, clamped to the axis."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def tick_text(self, tick: float) -> str:
        """Show a tick with the decimals that its step needs."""
        step = self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else 0.1
        return f"{tick:.{max(0, math.ceil(-math.log10(step) - 1e-9))}f}"


def nice_axis(values: list[float], *, ceiling: float = 1.0) -> Axis:
    """Choose an axis that holds the values, with four to six round ticks up to `ceiling`."""
    low, high = min([*values, ceiling]), min(max([*values, 0.0]), ceiling)
    span = max(high - low, 0.01)
    step = next(
        s * 10.0**e for e in range(-4, 3) for s in (1, 2, 2.5, 5) if span / (s * 10.0**e) <= 5
    )
    first = max(0, math.floor(low / step + 1e-9))
    last = min(math.ceil((high + 0.02 * step) / step), math.ceil(ceiling / step - 1e-9))
    last = max(last, first + 1)
    ticks = tuple(round(k * step, 10) for k in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks)


def percent(fraction: float) -> str:
    """Write a fraction as an SVG percentage."""
    return f"{100 * fraction:.2f}%"


def plot(kind: str, height: int, name: str, *, title: str, description: str) -> ET.Element:
    """Open a plot that assistive technology announces as one image with a description."""
    root = ET.Element(
        "svg",
        {
            "class": f"plot {kind}",
            "role": "img",
            "width": "100%",
            "height": str(height),
            "aria-labelledby": f"{name}-title {name}-desc",
        },
    )
    add(root, "title", title, id=f"{name}-title")
    add(root, "desc", description, id=f"{name}-desc")
    return root


def add(parent: ET.Element, tag: str, text: str | None = None, **attributes: object) -> ET.Element:
    """Append a child; ``class_`` becomes ``class`` and underscores become hyphens."""
    named = {
        key.rstrip("_").replace("_", "-"): f"{value:.2f}"
        if isinstance(value, float)
        else str(value)
        for key, value in attributes.items()
    }
    child = ET.SubElement(parent, tag, named)
    if text is not None:
        child.text = clean(text)
    return child


def render(root: ET.Element) -> str:
    """Serialise for inlining in HTML."""
    return ET.tostring(root, encoding="unicode", short_empty_elements=True)
