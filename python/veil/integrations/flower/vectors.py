"""From a model's records to the vector that is masked, and back from the sum."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from veil._optional import require
from veil.errors import DataError
from veil.fl.layout import Layout

if TYPE_CHECKING:
    from flwr.app import ArrayRecord, RecordDict

__all__ = ["Contribution", "Model", "check_metrics", "model_of", "with_metrics"]

_log = logging.getLogger("veil.flower")


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A model as it stands in a message."""

    layout: Layout
    params: dict[str, NDArray[Any]] = field(repr=False)

    @property
    def vector(self) -> NDArray[Any]:
        """Its floating-point arrays as one new vector."""
        vector: NDArray[Any] = self.layout.flatten(self.params)
        return vector

    @classmethod
    def of(cls, arrays: ArrayRecord) -> Model:
        """Read a record of NumPy arrays.

        Raises
        ------
        DataError
            If an array is not one of a model.
        """
        try:
            params = {name: np.asarray(array.numpy()) for name, array in arrays.items()}
            return cls(Layout.of(params), params)
        except (TypeError, ValueError, EOFError) as error:
            raise DataError(f"model: expected named NumPy arrays: {error}") from error

    def record(self, vector: NDArray[Any]) -> ArrayRecord:
        """Return a record with another vector and this model's integer buffers."""
        flwr = require("flwr.app", "flower")
        narrow = vector.astype(self.layout.dtype)
        named = self.layout.unflatten(narrow, buffers=self.params)
        ordered = {name: flwr.Array(np.array(named[name], order="C")) for name in self.params}
        record: ArrayRecord = flwr.ArrayRecord(ordered)
        return record

    def restored(self, arrays: ArrayRecord) -> ArrayRecord:
        """Give a strategy's result this model's dtypes, and its integer buffers unchanged.

        Raises
        ------
        DataError
            If the strategy changed names or shapes, or a value is not finite.
        """
        after = {name: np.asarray(array.numpy()) for name, array in arrays.items()}
        floats = {e.name for e in self.layout.entries}
        cast = {
            name: after[name].astype(self.params[name].dtype) if name in floats else buffer
            for name, buffer in self.params.items()
            if name in after
        }
        self.layout.check(cast | {name: after[name] for name in after if name not in cast})
        vector = self.layout.flatten(cast)
        if not np.isfinite(vector).all():
            raise DataError("the model diverged; lower a learning rate")
        return self.record(vector)


@dataclass(frozen=True, slots=True, eq=False)
class Contribution:
    """What one site brings to a round."""

    vector: NDArray[Any] = field(repr=False)
    weight: int | None = field(repr=False)
    metrics: Mapping[str, float] = field(repr=False)


def model_of(content: RecordDict, *, who: str) -> ArrayRecord:
    """Find the only record of arrays in a message.

    Raises
    ------
    DataError
        If there is none, or more than one.
    """
    found: list[ArrayRecord] = list(content.array_records.values())
    if len(found) != 1:
        raise DataError(f"{who}: expected one record of arrays, the model, got {len(found)}")
    return found[0]


def check_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Refuse bounds that are not finite and above zero."""
    for name, bound in metrics.items():
        if not (math.isfinite(bound) and bound > 0):
            raise ValueError(f"metrics[{name!r}]: expected a finite bound above 0, got {bound!r}")
    return {name: float(metrics[name]) for name in sorted(metrics)}


def with_metrics(
    vector: NDArray[Any], metrics: Mapping[str, float], bounds: Mapping[str, float], clip: float
) -> NDArray[Any]:
    """Append each metric as a share of its bound, scaled to the codec's clip.

    A metric beyond its bound counts as the bound, and one that is missing or no number as 0, so
    that no score decides whether the site answers; the site's log says which.
    """
    scaled = np.empty(len(bounds), vector.dtype)
    for i, (name, bound) in enumerate(bounds.items()):
        value = metrics.get(name)
        is_number = isinstance(value, int | float) and not math.isnan(value)
        told = min(max(float(value), -bound), bound) if is_number and value is not None else 0.0
        if told != value:
            _log.warning("metrics[%r]: no number within ±%g here; sent as %g", name, bound, told)
        scaled[i] = told / bound * clip
    return np.concatenate([vector, scaled])


def metrics_from(
    mean: NDArray[np.float64], bounds: Mapping[str, float], clip: float
) -> dict[str, float]:
    """Inverse of the scaling of `with_metrics`, on the mean."""
    return {
        name: float(value) * bound / clip
        for value, (name, bound) in zip(mean, bounds.items(), strict=True)
    }
