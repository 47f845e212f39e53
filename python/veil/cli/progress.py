"""Progress of a study: a bar with the time left on a terminal, plain lines elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from veil.report.text import clean, duration

__all__ = ["Tell", "progress"]

_SECONDS_BETWEEN_LINES = 5.0


class Moment(Protocol):
    """How far a study is: `veil.study.progress.Progress`, which this module need not load."""

    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def label(self) -> str: ...
    @property
    def remaining(self) -> float | None: ...


Tell = Callable[[Moment], None]


@contextlib.contextmanager
def progress() -> Iterator[Tell]:
    """Show progress on the error stream.

    Yields
    ------
    callable
        Takes a moment of the study: steps done and to do, the step that begins, seconds left.
    """
    if sys.stderr.isatty():
        with _bar() as tell:
            yield tell
    else:
        yield _lines()


@contextlib.contextmanager
def _bar() -> Iterator[Tell]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading the data", total=None, left="")

        def tell(moment: Moment) -> None:
            label, left = clean(moment.label), _left(moment)
            bar.update(
                task, completed=moment.done, total=moment.total, description=label, left=left
            )

        yield tell


def _lines() -> Tell:
    shown = -_SECONDS_BETWEEN_LINES

    def tell(moment: Moment) -> None:
        nonlocal shown
        now = time.monotonic()
        if moment.done < moment.total and now - shown < _SECONDS_BETWEEN_LINES:
            return
        shown = now
        parts = [f"{moment.done} of {moment.total}", _left(moment), clean(moment.label)]
        print(", ".join(filter(None, parts)), file=sys.stderr, flush=True)

    return tell


def _left(moment: Moment) -> str:
    if moment.remaining is None or moment.done >= moment.total:
        return ""
    return f"about {duration(max(1.0, moment.remaining))} left"
