"""The strategy inside: which ones may be wrapped, how a sum looks to it, what it remembers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from veil._optional import require
from veil.errors import ProtocolError

if TYPE_CHECKING:
    from flwr.app import ArrayRecord, Message
    from flwr.serverapp.strategy import Strategy

__all__ = ["capture", "check_wrapped", "reply_of", "restore"]

# Their aggregate_train reads nothing but the weighted mean of the replies.
_MEAN_ONLY = ("FedAvg", "FedAvgM", "FedAdagrad", "FedAdam", "FedYogi", "FedProx")
_REASONS = {
    "Krum": "chooses among single updates",
    "MultiKrum": "chooses among single updates",
    "Bulyan": "chooses among single updates",
    "FedMedian": "takes the median of single updates",
    "FedTrimmedAvg": "sorts single updates",
    "QFedAvg": "weighs each update by its own loss",
    "FedXgbBagging": "keeps each site's trees",
    "FedXgbCyclic": "hands on one site's trees",
    "DifferentialPrivacyServerSideFixedClipping": "clips single updates; pass privacy= instead",
    "DifferentialPrivacyServerSideAdaptiveClipping": "clips single updates; pass privacy= instead",
    "DifferentialPrivacyClientSideFixedClipping": "adds its own noise; pass privacy= instead",
    "DifferentialPrivacyClientSideAdaptiveClipping": "adds its own noise; pass privacy= instead",
}


def check_wrapped(inner: Any) -> None:
    """Refuse a strategy that needs what the server does not see.

    Raises
    ------
    TypeError
        If it is no strategy of Flower's Message API.
    ProtocolError
        If it reads single updates, or does not say that it does not.
    """
    flower = require("flwr.serverapp.strategy", "flower")
    if not isinstance(inner, flower.Strategy):
        raise TypeError(
            f"strategy: expected a flwr.serverapp.strategy.Strategy, got {type(inner).__name__}"
        )
    for name, reason in _REASONS.items():
        if isinstance(inner, getattr(flower, name, ())):
            raise ProtocolError(
                f"strategy: {type(inner).__name__} {reason}, and secure aggregation keeps single "
                f"updates from the server; use one of {', '.join(_MEAN_ONLY)}"
            )
    if type(inner).start is not flower.Strategy.start:
        raise ProtocolError(
            f"strategy: {type(inner).__name__} has its own start(), which would be passed by"
        )
    if getattr(inner, "needs_individual_updates", None) is False:
        return
    known = [getattr(flower, name).aggregate_train for name in _MEAN_ONLY]
    if type(inner).aggregate_train not in known:
        raise ProtocolError(
            f"strategy: {type(inner).__name__} has its own aggregate_train; if it reads nothing "
            "but the weighted mean of the replies, say so with the attribute "
            "needs_individual_updates = False"
        )


def reply_of(
    inner: Strategy, arrays: ArrayRecord, weight: float, metrics: Mapping[str, float]
) -> Message:
    """One reply that holds the mean of all, as if a single site had sent it."""
    flwr = require("flwr.app", "flower")
    weighted_by = getattr(inner, "weighted_by_key", "num-examples")
    content = flwr.RecordDict(
        {
            getattr(inner, "arrayrecord_key", "arrays"): arrays,
            "metrics": flwr.MetricRecord({**metrics, weighted_by: weight}),
        }
    )
    message: Message = flwr.Message(content, 0, "train")
    return message


def capture(inner: Strategy) -> dict[str, NDArray[Any]]:
    """Arrays that the strategy keeps between rounds (moments, momentum), by attribute."""
    flwr = require("flwr.app", "flower")
    found: dict[str, NDArray[Any]] = {}
    for name, value in vars(inner).items():
        if isinstance(value, flwr.ArrayRecord):
            items = [("record", key, array.numpy()) for key, array in value.items()]
        elif isinstance(value, dict):
            items = [("dict", key, array) for key, array in value.items()]
        elif isinstance(value, list):
            items = [("list", str(i), array) for i, array in enumerate(value)]
        else:
            continue
        if all(isinstance(array, np.ndarray | np.generic) for _, _, array in items):
            found |= {f"{name}/{kind}/{key}": np.asarray(array) for kind, key, array in items}
    return found


def restore(inner: Strategy, state: Mapping[str, NDArray[Any]]) -> None:
    """Inverse of `capture`."""
    flwr = require("flwr.app", "flower")
    parts: dict[tuple[str, str], dict[str, NDArray[Any]]] = {}
    for path, array in state.items():
        name, kind, key = path.split("/", 2)
        parts.setdefault((name, kind), {})[key] = array
    for (name, kind), arrays in parts.items():
        value: Any = arrays
        if kind == "record":
            value = flwr.ArrayRecord({key: flwr.Array(a) for key, a in arrays.items()})
        elif kind == "list":
            value = [arrays[str(i)] for i in range(len(arrays))]
        setattr(inner, name, value)
