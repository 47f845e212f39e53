"""How far a study is, and how long it will still take."""

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Clock", "Progress"]


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a study.

    Parameters
    ----------
    done, total : int
        Steps: the calibration of each private method, then each run.
    label : str
        The step that begins, or ``done``.
    elapsed : float
        Seconds since the study began.
    remaining : float or None
        Seconds still needed, judged by the steps so far; None while those tell nothing of the rest.
    """

    done: int
    total: int
    label: str
    elapsed: float
    remaining: float | None


class Clock:
    """Times steps by kind, and guesses the time of those to come.

    Parameters
    ----------
    steps : list of str
        The kind of each step, in order.
    on_progress : callable or None
        Called with a `Progress` when a step begins and at the end.
    unlike : str
        A kind whose time says nothing of other kinds.
    """

    def __init__(
        self,
        steps: list[str],
        on_progress: Callable[[Progress], None] | None,
        *,
        unlike: str = "",
    ) -> None:
        self._steps = steps
        self._unlike = unlike
        self._tell = on_progress
        self._begin = self._last = time.perf_counter()
        self._done = 0
        self._seconds: dict[str, list[float]] = {}

    def start(self, label: str) -> None:
        """Announce a step."""
        self._last = time.perf_counter()
        self._report(label)

    def stop(self) -> None:
        """End a step."""
        kind = self._steps[self._done]
        self._seconds.setdefault(kind, []).append(time.perf_counter() - self._last)
        self._done += 1
        if self._done == len(self._steps):
            self._report("done")

    def skip(self) -> None:
        """Pass over a step that an earlier study has done; it says nothing about time."""
        self._steps = self._steps[: self._done] + self._steps[self._done + 1 :]
        if self._done == len(self._steps):
            self._report("done")

    def _report(self, label: str) -> None:
        if self._tell is None:
            return
        self._tell(
            Progress(
                done=self._done,
                total=len(self._steps),
                label=label,
                elapsed=time.perf_counter() - self._begin,
                remaining=self._remaining(),
            )
        )

    def _remaining(self) -> float | None:
        """Sum over the steps to come: the mean of their kind, else of all kinds seen."""
        if not self._seconds:
            return None if self._done < len(self._steps) else 0.0
        means = {kind: sum(s) / len(s) for kind, s in self._seconds.items()}
        to_come = self._steps[self._done :]
        alike = [mean for kind, mean in means.items() if kind != self._unlike]
        if not alike:
            return None if set(to_come) - set(means) else sum(means[kind] for kind in to_come)
        return sum(means.get(kind, sum(alike) / len(alike)) for kind in to_come)
