"""The state of a run between two rounds, in memory and in a file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veil.errors import DataError
from veil.fl.history import Round
from veil.fl.layout import Layout
from veil.fl.records import Params, State
from veil.fl.sites import Site

__all__ = ["Checkpoint", "fingerprint"]

_FORMAT = "veil/checkpoint/1"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Everything that the next round needs.

    Parameters
    ----------
    fingerprint : str
        Of task, strategy, privacy, seed and data: another run does not go on from here.
    layout : Layout
        The model's layout.
    vector : ndarray of shape (layout.size,)
        The model.
    buffers : dict of str to ndarray
        Its integer buffers.
    server : mapping of str to ndarray
        The strategy's state at the server.
    sites : mapping of str to mapping
        The strategy's state at each site.
    rounds : tuple of Round
        What was done.

    Notes
    -----
    A file holds the model and, for SCAFFOLD, each site's control variate, which tells about that
    site's data: keep it as safe as the data. No key and no state of a generator is in it.
    """

    fingerprint: str
    layout: Layout
    vector: NDArray[Any] = field(repr=False)
    buffers: Params = field(repr=False)
    server: State = field(repr=False)
    sites: Mapping[str, State] = field(repr=False)
    rounds: tuple[Round, ...]

    @property
    def params(self) -> Params:
        """The model as named arrays, a fresh copy."""
        model: Params = self.layout.unflatten(self.vector.copy(), buffers=self.buffers)
        return model

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state to a file, whole or not at all.

        Parameters
        ----------
        path : str or path
            The file; an older one is replaced in one step.

        Raises
        ------
        OSError
            If the folder cannot be written; an older file stays as it was.
        """
        path = pathlib.Path(path)
        handle, name = tempfile.mkstemp(prefix=path.name, suffix=".part", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                arrays: dict[str, Any] = self._arrays()
                np.savez(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Checkpoint:
        """Read what `save` wrote.

        Parameters
        ----------
        path : str or path
            The file.

        Returns
        -------
        Checkpoint
            The same state, to the last bit.

        Raises
        ------
        OSError
            If the file cannot be read.
        DataError
            If it is no checkpoint of this version.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            return cls._from_arrays(arrays)
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{path}: expected a checkpoint of a run ({_FORMAT}); remove it to start over"
            ) from error

    def _arrays(self) -> dict[str, NDArray[Any]]:
        named: dict[str, NDArray[Any]] = {"vector": self.vector}
        index: list[tuple[str, str, str]] = []
        states = {("buffers", ""): self.buffers, ("server", ""): self.server}
        states |= {("site", site): state for site, state in self.sites.items()}
        for (kind, site), state in states.items():
            for name, array in state.items():
                named[f"array{len(index)}"] = array
                index.append((kind, site, name))
        head = {
            "format": _FORMAT,
            "fingerprint": self.fingerprint,
            "layout": self.layout.to_dict(),
            "sites": list(self.sites),
            "index": index,
            "rounds": [r.to_dict() for r in self.rounds],
        }
        named["head"] = np.frombuffer(json.dumps(head).encode(), np.uint8)
        return named

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Checkpoint:
        head = json.loads(arrays["head"].tobytes())
        if head["format"] != _FORMAT:
            raise ValueError(head["format"])
        sites: dict[str, Params] = {site: {} for site in head["sites"]}
        whole: dict[str, Params] = {"buffers": {}, "server": {}}
        for i, (kind, site, name) in enumerate(head["index"]):
            target = sites[site] if kind == "site" else whole[kind]
            target[name] = arrays[f"array{i}"]
        return cls(
            fingerprint=head["fingerprint"],
            layout=Layout.from_dict(head["layout"]),
            vector=arrays["vector"],
            buffers=whole["buffers"],
            server=whole["server"],
            sites=sites,
            rounds=tuple(Round.from_dict(r) for r in head["rounds"]),
        )


def fingerprint(settings: Sequence[Any], sites: Sequence[Site]) -> str:
    """Identify a run by its settings and data.

    Parameters
    ----------
    settings : sequence
        Records and plain values; of other objects only the class counts.
    sites : sequence of Site
        The data.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    sha = hashlib.sha256(_FORMAT.encode())
    for setting in settings:
        sha.update(_describe(setting).encode() + b"\0")
    for site in sorted(sites, key=lambda s: s.id):
        sha.update(site.id.encode() + b"\0")
        columns = [site.x, site.y, site.x_test, site.y_test]
        columns += [] if site.patients is None else [site.patients]
        for column in columns:
            sha.update(f"{column.dtype.str}{column.shape}".encode())
            sha.update(np.ascontiguousarray(column).tobytes())
    return sha.hexdigest()


def _describe(setting: Any) -> str:
    if is_dataclass(setting) and not isinstance(setting, type):
        inner = ", ".join(f"{f.name}={getattr(setting, f.name)!r}" for f in fields(setting))
        return f"{type(setting).__qualname__}({inner})"
    if setting is None or isinstance(setting, (str, int, float)):
        return repr(setting)
    return type(setting).__qualname__
