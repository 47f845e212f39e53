"""Guards against a second use: of a session's state, of a round, of a context; and near sets."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from veil.errors import StateReplayed
from veil.secagg.replay_record import Record

__all__ = ["FileReplayGuard", "MemoryReplayGuard", "ReplayGuard"]


class ReplayGuard(Protocol):
    """Remembers what a client has used; what it has forgotten it refuses."""

    def begin(self, name: str, number: int, session: bytes) -> None:
        """Compare and set: a session begins, under a number above the last one of a run.

        Raises
        ------
        StateReplayed
            If `number` is not above the last one.
        PolicyRefused
            If the guard has no room for another run.
        """

    def advance(
        self,
        session: bytes,
        step: int,
        *,
        context: bytes = b"",
        members: Collection[bytes] = (),
        apart: int = 0,
    ) -> None:
        """Compare and set: use a step of a session, once.

        Raises
        ------
        StateReplayed
            If `step` is not above the session's last, the session is unknown, or the context was
            used by another step.
        PolicyRefused
            If the set of members differs from one that was used by fewer than `apart`, or the
            guard has no room for another.
        """

    def knows(self, session: bytes) -> bool:
        """Whether a session began under this guard."""


class MemoryReplayGuard:
    """A guard that lasts as long as the process."""

    def __init__(self) -> None:
        self._record = Record()
        self._lock = threading.Lock()

    def begin(self, name: str, number: int, session: bytes) -> None:
        """Begin a session, if `number` is above the last one of `name`.

        Parameters
        ----------
        name : str
            A run.
        number : int
            A round of it.
        session : bytes
            Names the session from now on.

        Raises
        ------
        StateReplayed
            If `number` is not above the last one.
        PolicyRefused
            If the guard knows as many runs as it can.
        """
        with self._lock:
            self._record.begin(name, number, session)

    def advance(
        self,
        session: bytes,
        step: int,
        *,
        context: bytes = b"",
        members: Collection[bytes] = (),
        apart: int = 0,
    ) -> None:
        """Use a step of a session, and what goes with it, once.

        Parameters
        ----------
        session : bytes
            As it began.
        step : int
            Above the last one of the session.
        context : bytes, optional
            What the vector is masked under.
        members : collection of bytes, optional
            Identity keys of the survivors that are signed.
        apart : int, default 0
            Fewest members in which the set must differ from each other one.

        Raises
        ------
        StateReplayed
            If the step or the context was used, or the session is not known.
        PolicyRefused
            If a set is too near, or there is no room for another.
        """
        with self._lock:
            self._record.advance(session, step, context, members, apart)

    def knows(self, session: bytes) -> bool:
        """Whether a session began under this guard.

        Parameters
        ----------
        session : bytes
            As it began.

        Returns
        -------
        bool
            False also for one that is no longer among the last 1024.
        """
        with self._lock:
            return self._record.knows(session)


class FileReplayGuard:
    """A guard that outlives the process: one file of bounded size, replaced atomically and synced.

    Keep the file apart from backups of the client's state: restoring both undoes the guard.

    Parameters
    ----------
    path : str or os.PathLike
        The file; made on first use, readable by its owner alone. A lock file stands beside it.

    Notes
    -----
    It remembers 16384 runs, the last 1024 sessions and contexts, and 1024 sets of survivors: below
    2 MB, and a step takes the time of writing that. When runs or sets are more, new ones are
    refused. The file of an earlier version is read; sessions that it knew do not go on.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def begin(self, name: str, number: int, session: bytes) -> None:
        """Begin a session, if `number` is above the last one of `name`; durable on return.

        Parameters
        ----------
        name : str
            A run.
        number : int
            A round of it.
        session : bytes
            Names the session from now on.

        Raises
        ------
        StateReplayed
            If `number` is not above the last one, or the file is damaged.
        PolicyRefused
            If the guard knows as many runs as it can.
        """
        with self._changing() as record:
            record.begin(name, number, session)

    def advance(
        self,
        session: bytes,
        step: int,
        *,
        context: bytes = b"",
        members: Collection[bytes] = (),
        apart: int = 0,
    ) -> None:
        """Use a step of a session, and what goes with it, once; durable on return.

        Parameters
        ----------
        session : bytes
            As it began.
        step : int
            Above the last one of the session.
        context : bytes, optional
            What the vector is masked under.
        members : collection of bytes, optional
            Identity keys of the survivors that are signed.
        apart : int, default 0
            Fewest members in which the set must differ from each other one.

        Raises
        ------
        StateReplayed
            If the step or the context was used, the session is not known, or the file is damaged.
        PolicyRefused
            If a set is too near, or there is no room for another.
        """
        with self._changing() as record:
            record.advance(session, step, context, members, apart)

    def knows(self, session: bytes) -> bool:
        """Whether a session began under this guard.

        Parameters
        ----------
        session : bytes
            As it began.

        Returns
        -------
        bool
            False also for one that is no longer among the last 1024.

        Raises
        ------
        StateReplayed
            If the file is damaged.
        """
        return self._read().knows(session)

    @contextmanager
    def _changing(self) -> Iterator[Record]:
        """Lend the record under the lock; write it unless something was refused."""
        import fcntl

        with open(self._path.with_name(self._path.name + ".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            record = self._read()
            yield record
            self._write(record.encode())

    def _read(self) -> Record:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return Record()
        try:
            return Record.decode(data)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise StateReplayed(
                f"{self._path}: expected a replay guard's file, got damage ({error}); without it "
                "nobody can tell which states were used"
            ) from error

    def _write(self, data: bytes) -> None:
        temporary = self._path.with_name(self._path.name + ".tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
