"""When a site answers: at a fixed time after the request came, whatever its data took."""

from __future__ import annotations

import logging
import math
import time
from types import EllipsisType
from typing import Any

from veil.fl import DistributedDP

__all__ = ["Deadline", "checked_seconds"]

_log = logging.getLogger("veil.flower")


class Deadline:
    """Holds an answer back until a fixed time after its request came, if it touched data.

    Parameters
    ----------
    seconds : float or None
        From the arrival; None answers when ready.

    Attributes
    ----------
    touched : bool
        Whether anything was done whose time depends on data.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._arrived = time.monotonic()
        self.touched = False

    def wait(self) -> None:
        """Sleep until the time has come; an answer that is late goes at once."""
        if self._seconds is None or not self.touched:
            return
        rest = self._arrived + self._seconds - time.monotonic()
        if rest < 0:
            _log.warning(
                "this answer is %.1f s late for answer_after=%g: the server can tell that it took "
                "longer; raise answer_after at all sites",
                -rest,
                self._seconds,
            )
            return
        time.sleep(rest)


def checked_seconds(seconds: float | EllipsisType | None, privacy: Any) -> float | None:
    """Check when a site is to answer.

    Parameters
    ----------
    seconds : float, None or Ellipsis
        What the caller said; Ellipsis is nothing.
    privacy : Privacy or None
        The mechanism.

    Returns
    -------
    float or None
        Seconds, or None to answer when ready.

    Raises
    ------
    TypeError
        If nothing was said under `DistributedDP`, which trusts the server with nothing.
    ValueError
        If it is no finite number above zero.
    """
    if isinstance(seconds, EllipsisType):
        if isinstance(privacy, DistributedDP):
            raise TypeError(
                "answer_after: expected seconds, or None, under DistributedDP: the time of an "
                "answer grows with the patients drawn. Seconds, enough for every round, hold "
                "answers back until then; None shows the server when each is ready"
            )
        return None
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"answer_after: expected a finite number above 0, got {seconds!r}")
    return float(seconds)
