"""Finished runs on disk, so that an interrupted study goes on where it stopped.

One JSON file in the output directory, replaced as a whole after every run: an interrupt leaves the
old one or the new one. Its key is a hash of everything that the results depend on.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from veil import __version__
from veil.errors import DataError
from veil.report.files import replace_all
from veil.study.datasets.table import Cohort
from veil.study.interrupts import interrupts_deferred
from veil.study.plan import Plan
from veil.study.secure import settings

__all__ = ["Checkpoint", "prepare_out", "study_key"]

NAME = "checkpoint.json"
_FORMAT, _VERSION = "veil-study-checkpoint", 1

Run = dict[str, Any]


def prepare_out(out: Path) -> None:
    """Refuse an output directory that cannot be written, before any work is done.

    Parameters
    ----------
    out : Path
        The directory; created if absent.

    Raises
    ------
    DataError
        If it cannot be created or written.
    """
    probe = "checkpoint.probe"
    try:
        with interrupts_deferred():
            replace_all(out, {probe: b""})
            (out / probe).unlink()
    except OSError as error:
        raise DataError(
            f"out: expected a directory that can be written, got {out} ({error.strerror}); choose "
            "another"
        ) from error


def study_key(plan: Plan) -> str:
    """Hash all that the results of a study depend on.

    Parameters
    ----------
    plan : Plan
        The study.

    Returns
    -------
    str
        64 hexadecimal digits, from options, data, schema, secure aggregation and Veil's version.
    """
    schema = plan.cohort.schema
    secure = any(m.aggregation == "secure" for m in plan.methods)
    described = json.dumps(
        [
            __version__,
            plan.options.digest(),
            _data_digest(plan.cohort),
            None if schema is None else schema.to_dict(),
            settings(len(plan.cohort.site_ids)) if secure else None,
        ],
        sort_keys=True,
    )
    return hashlib.sha256(described.encode()).hexdigest()


class Checkpoint:
    """The finished runs of one study.

    Parameters
    ----------
    out : Path or None
        Output directory; None keeps nothing on disk.
    key : str
        From `study_key`.
    """

    def __init__(self, out: Path | None, key: str) -> None:
        self._out = out
        self._key = key
        self._runs: list[Run] = []

    def load(self) -> None:
        """Take over the runs of an earlier, interrupted study; none if there is no file.

        Raises
        ------
        DataError
            If the file cannot be read, or belongs to other options or other data.
        """
        if self._out is None or not (self._out / NAME).exists():
            return
        path = self._out / NAME
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            known = (found["format"], found["version"]) == (_FORMAT, _VERSION)
            key, runs = found["key"], {(r["method"], r["seed"]): r for r in found["runs"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"resume: expected the checkpoint of a study in {path}, got something else "
                f"({type(error).__name__}); delete it, or start without resume"
            ) from error
        if not known or key != self._key:
            raise DataError(
                f"resume: expected a checkpoint of the same options and data in {path}, got that "
                "of another study; start without resume, or choose another output directory"
            )
        self._runs = list(runs.values())

    def find(self, method: str, seed: int) -> Run | None:
        """Return a finished run.

        Parameters
        ----------
        method : str
            Identifier of the method.
        seed : int
            The seed.

        Returns
        -------
        dict or None
            The run, or None if it is still to do.
        """
        for run in self._runs:
            if (run["method"], run["seed"]) == (method, seed):
                return run
        return None

    def add(self, run: Run) -> None:
        """Keep a finished run.

        Parameters
        ----------
        run : dict
            An entry of ``runs``.
        """
        with interrupts_deferred():
            self._runs.append(run)
            self._write()

    def _write(self) -> None:
        if self._out is None:
            return
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "key": self._key,
            "runs": self._runs,
        }
        replace_all(self._out, {NAME: json.dumps(content, allow_nan=False).encode()})


def _data_digest(cohort: Cohort) -> str:
    sha = hashlib.sha256()
    arrays = [*(c.values for c in cohort.columns), cohort.labels, cohort.sites, cohort.patients]
    for array in arrays:
        sha.update(str((array.dtype.str, array.shape)).encode())
        sha.update(array.tobytes())
    return sha.hexdigest()
