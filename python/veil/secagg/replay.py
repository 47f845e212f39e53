"""Guards against a second use of a session's state: a restored backup, a copied disk."""

import json
import os
import threading
from pathlib import Path
from typing import Protocol

from veil.errors import StateReplayed

__all__ = ["FileReplayGuard", "MemoryReplayGuard", "ReplayGuard"]


class ReplayGuard(Protocol):
    """Remembers, for each name, the greatest number that was used."""

    def advance(self, name: str, number: int) -> None:
        """Compare and set: accept `number` only if it is above the last one of `name`.

        Raises
        ------
        StateReplayed
            If `number` is not above the last one.
        """

    def last(self, name: str) -> int | None:
        """Return the greatest number that was used under a name, or None if there is none."""


def _refuse_unless_above(name: str, number: int, last: int | None) -> None:
    if last is not None and number <= last:
        raise StateReplayed(
            f"{name}: expected a number above {last}, the last one used, got {number}; this state "
            "or label was used before, so start a new round"
        )


class MemoryReplayGuard:
    """A guard that lasts as long as the process."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._lock = threading.Lock()

    def advance(self, name: str, number: int) -> None:
        """Accept `number` only if it is above the last one of `name`.

        Parameters
        ----------
        name : str
            A run or a session.
        number : int
            A round or a step.

        Raises
        ------
        StateReplayed
            If `number` is not above the last one.
        """
        with self._lock:
            _refuse_unless_above(name, number, self._last.get(name))
            self._last[name] = number

    def last(self, name: str) -> int | None:
        """Look up the greatest number that was used.

        Parameters
        ----------
        name : str
            A run or a session.

        Returns
        -------
        int or None
            The number; None if the name was never used.
        """
        with self._lock:
            return self._last.get(name)


class FileReplayGuard:
    """A guard that outlives the process: one small file, replaced atomically and synced.

    Keep the file apart from backups of the client's state: restoring both undoes the guard.

    Parameters
    ----------
    path : str or os.PathLike
        The file; made on first use. A lock file stands beside it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def advance(self, name: str, number: int) -> None:
        """Accept `number` only if it is above the last one of `name`; durable on return.

        Parameters
        ----------
        name : str
            A run or a session.
        number : int
            A round or a step.

        Raises
        ------
        StateReplayed
            If `number` is not above the last one.
        """
        import fcntl

        with open(self._path.with_name(self._path.name + ".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            last = self._read()
            _refuse_unless_above(name, number, last.get(name))
            self._write({**last, name: number})

    def last(self, name: str) -> int | None:
        """Look up the greatest number that was used.

        Parameters
        ----------
        name : str
            A run or a session.

        Returns
        -------
        int or None
            The number; None if the name was never used.

        Raises
        ------
        StateReplayed
            If the file is damaged.
        """
        return self._read().get(name)

    def _read(self) -> dict[str, int]:
        if not self._path.exists():
            return {}
        try:
            values = json.loads(self._path.read_text())
        except ValueError as error:
            raise StateReplayed(f"{self._path}: expected the guard's JSON, got damage") from error
        if not isinstance(values, dict):
            raise StateReplayed(f"{self._path}: expected a JSON object, got other JSON")
        return values

    def _write(self, values: dict[str, int]) -> None:
        temporary = self._path.with_name(self._path.name + ".tmp")
        with open(temporary, "w") as file:
            json.dump(values, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
