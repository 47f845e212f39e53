"""Calls into dp-accounting: without its log lines, without NumPy's warnings, with typed errors."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from veil.errors import UnsupportedEvent

__all__ = ["quiet"]


@contextmanager
def quiet(what: str) -> Iterator[None]:
    """Keep the library's warnings of this thread's call from the terminal.

    What they say is handled here: an order whose series did not converge counts as infinite. The
    filter is this thread's own and leaves with the call, so that the user's logging stays as it is.

    Raises
    ------
    UnsupportedEvent
        If the library's arithmetic overflows: nothing may be claimed then.
    """
    thread = threading.get_ident()

    def keep(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger = logging.getLogger("absl")
    logger.addFilter(keep)
    try:
        with np.errstate(all="ignore"):
            yield
    except ArithmeticError as error:
        raise UnsupportedEvent(
            f"accountant: {what} cannot reckon with parameters so large or so small "
            f"({type(error).__name__})"
        ) from error
    finally:
        logger.removeFilter(keep)
