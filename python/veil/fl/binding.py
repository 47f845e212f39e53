"""What the masks of a round are bound to: all that reaches the training of its sites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from veil.fl.layout import Layout
from veil.fl.protocols import Privacy, Strategy, Task
from veil.fl.records import Params, State
from veil.secagg import context

__all__ = ["round_context"]

_MAX_DEPTH = 8  # of records in records; what lies deeper counts by its class


def round_context(
    *,
    params: Params,
    number: int,
    shared: State,
    task: Task,
    strategy: Strategy,
    privacy: Privacy | None,
    upload: Layout,
) -> bytes:
    """Hash model, round, what the strategy sent down, and the settings that the sites run.

    Parameters
    ----------
    params : dict of str to ndarray
        The model as it came.
    number : int
        Of the round.
    shared : mapping of str to ndarray
        What `Strategy.shared` sent down: with the site's own state and the strategy's settings it
        gives the correction of the gradient.
    task, strategy, privacy : Task, Strategy, Privacy or None
        What trains. Numbers, text, arrays, lists, mappings and dataclasses of these count
        by value; of other objects only the class does.
    upload : Layout
        Of what is summed.

    Returns
    -------
    bytes
        As from `veil.secagg.context`.
    """
    return context(
        model=params,
        round=number,
        instructions={},
        shared=shared,
        settings={"task": _plain(task), "strategy": _plain(strategy), "privacy": _plain(privacy)},
        terms={"upload": upload.to_dict()},
    )


def _plain(setting: Any, depth: int = 0) -> Any:
    """Give a setting as values that have one encoding."""
    kind = type(setting)
    if setting is None or kind in (bool, int, float, str, bytes) or _is_numeric(setting):
        return setting
    inner: Any = None
    if depth < _MAX_DEPTH:
        if kind in (list, tuple):
            return [_plain(item, depth + 1) for item in setting]
        if is_dataclass(setting) and not isinstance(setting, type):
            inner = {f.name: _plain(getattr(setting, f.name), depth + 1) for f in fields(setting)}
        elif isinstance(setting, Mapping) and all(type(key) is str for key in setting):
            inner = {key: _plain(item, depth + 1) for key, item in setting.items()}
    return {"type": f"{kind.__module__}.{kind.__qualname__}", "fields": inner}


def _is_numeric(setting: Any) -> bool:
    if type(setting) is not np.ndarray and not isinstance(setting, np.generic):
        return False
    return setting.dtype.kind in "biuf" and setting.dtype.itemsize <= 8
