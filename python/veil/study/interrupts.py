"""Ctrl-C, held back for the moment in which a file is replaced."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["interrupts_deferred"]


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Run a block to its end before an interrupt takes effect.

    Replacing a file takes several system calls; an interrupt between two of them would leave a
    temporary file behind. Outside the main thread Python delivers no interrupts, and a handler that
    was not set from Python cannot be restored: then nothing is deferred.

    Yields
    ------
    None
        The block runs with the interrupt deferred.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or handler is None:
        yield
        return
    pending: list[tuple[int, Any]] = []
    signal.signal(signal.SIGINT, lambda number, frame: pending.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if pending:
        signal.raise_signal(signal.SIGINT)
