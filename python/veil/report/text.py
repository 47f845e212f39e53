"""How numbers and names are shown: the one place that rounds, and that tames foreign text."""

import math

__all__ = [
    "clean",
    "data_size",
    "duration",
    "estimate",
    "interval",
    "label",
    "plain",
    "power_of_two",
    "score",
    "unbroken",
]

_NONE = "–"
_MAX_TEXT = 2000
_MAX_LABEL = 40
# Joiners that Persian and several Indic scripts need, and the no-break space.
_KEPT = "\u200c\u200d\u00a0"


def score(value: float | None) -> str:
    """Show an AUROC, accuracy or Brier score with three decimals."""
    return _NONE if value is None else f"{value:.3f}"


def interval(low: float | None, high: float | None) -> str:
    """Show a 95 % interval, or nothing when there is none."""
    return "" if low is None or high is None else f"{score(low)}–{score(high)}"


def estimate(mean: float | None, low: float | None, high: float | None) -> str:
    """Show a mean with its interval in brackets."""
    spread = interval(low, high)
    return f"{score(mean)} ({spread})" if spread else score(mean)


def plain(value: float | None) -> str:
    """Show a parameter with at most four significant digits and no trailing zeros."""
    return _NONE if value is None else f"{value:.4g}"


def power_of_two(value: float) -> str:
    """Show a power of two as one, any other number plainly."""
    mantissa, exponent = math.frexp(value)
    superscript = str(exponent - 1).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"2{superscript}" if mantissa == 0.5 else plain(value)


def data_size(count: float) -> str:
    """Show a number of bytes in decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} B" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.4g} TB"


def duration(seconds: float) -> str:
    """Show a time with two or three digits."""
    if seconds < 99.5:
        return f"{seconds:#.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 99.5 else f"{math.ceil(minutes / 60):.0f} h"


def clean(text: str) -> str:
    """Make foreign text safe to place: printable, no direction overrides, bounded in length."""
    text = "".join(c if c.isprintable() or c in _KEPT else "\ufffd" for c in text)
    return _cut(text, _MAX_TEXT)


def unbroken(text: str) -> str:
    """Clean a text and keep ``ε = 4`` on one line."""
    return clean(text).replace("ε = ", "ε\u00a0=\u00a0")


def label(text: str) -> str:
    """Shorten a name so that a hostile one cannot break the layout."""
    return _cut(clean(text), _MAX_LABEL)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
