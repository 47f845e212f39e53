"""The mod: any ClientApp, with its training reply masked and everything else kept back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from veil.errors import DataError, ProtocolError
from veil.fl import DistributedDP
from veil.integrations.flower.participant import Participant, Setting, refusal
from veil.integrations.flower.privacy import noisy_change
from veil.integrations.flower.vectors import Contribution, Model, check_metrics, model_of

if TYPE_CHECKING:
    from flwr.app import Context, Message
    from flwr.clientapp.typing import ClientAppCallable

    from veil.secagg import Config

__all__ = ["secagg_mod"]

_NONE: Mapping[str, float] = MappingProxyType({})


def secagg_mod(
    policy: Setting,
    *,
    identity: Setting = None,
    metrics: Mapping[str, float] = _NONE,
    weighted_by: str = "num-examples",
    privacy: DistributedDP | None = None,
) -> Callable[[Message, Context, ClientAppCallable], Message]:
    """Make a mod that masks what a ClientApp's training sends.

    The server learns the sum over the sites of the model's changes, of the example counts if the
    session is weighted, and of the metrics named here: nothing else leaves, not even in an error's
    text. Assumptions: those of `veil.secagg.Client`.

    Parameters
    ----------
    policy : Policy or callable
        What this site accepts, or a function from the node's ``Context`` to it. With a roster, only
        sessions against a malicious server are accepted.
    identity : Identity, path, callable or None, default None
        This site's secret (`veil identity new`), or a function from the ``Context``. None takes the
        path from the node's configuration, ``--node-config 'identity="site.key"'``.
    metrics : mapping of str to float, optional
        Training metrics that travel in the masked vector, each with the bound of its absolute
        value; the server must name the same. All others stay here.
    weighted_by : str, default "num-examples"
        Metric of the app's reply that weighs its change where the server asks for weights.
    privacy : DistributedDP or None, default None
        The mechanism that the server names too, with ``unit="site"``: the change is clipped and
        gets its share of the noise before it is masked. Mechanisms that protect records or
        patients work on gradients and need `task_app`.

    Returns
    -------
    callable
        A mod: ``ClientApp(mods=[secagg_mod(...)])``, as the first of the list, so that what other
        mods do to a reply happens before it is masked.

    Raises
    ------
    ValueError
        If a bound is not a finite number above zero.

    Notes
    -----
    The masks depend on all that the server can set in what the app is shown: every record, the
    run's configuration, the message's type, group and lifetime, the session's terms. Sites that
    were sent different things open no sum. Flower's ids and times are not bound, nor is what an app
    keeps in ``Context.state``: it must not train by them.

    Messages that are not Veil's are refused: training without a session, evaluation and queries
    would send numbers in clear. The session's state is kept in ``Context.state``, sealed under a
    key derived from the identity; a request that Flower delivers twice gets the same bytes, without
    training again. Beside the identity's file a guard remembers which states were used.
    """
    _refuse_on_gradients(privacy)
    site = Participant(
        policy=policy, identity=identity, metrics=check_metrics(metrics), privacy=privacy
    )

    def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        if message.metadata.message_type.partition(".")[0] != "train":
            return refusal(message, "only training is answered: its metrics travel masked")

        def train(shown: Message, model: Model, _: Config) -> Contribution:
            own = _contribution(call_next(shown, context), model, site.metrics, weighted_by)
            return own if privacy is None else noisy_change(privacy, own.vector, model)

        return site.answer(message, context, train)

    return mod


def _refuse_on_gradients(privacy: Any) -> None:
    if privacy is None or (isinstance(privacy, DistributedDP) and privacy.unit == "site"):
        return
    raise ValueError(
        f"privacy: expected a DistributedDP with unit='site', got {type(privacy).__name__} with "
        f"unit={getattr(privacy, 'unit', None)!r}: a mod cannot see each record's gradient; use "
        "task_app with a veil.fl task"
    )


def _contribution(
    reply: Message, model: Model, wanted: Mapping[str, float], weighted_by: str
) -> Contribution:
    if reply.has_error():
        raise DataError(f"the app answered with an error: {reply.error.reason}")
    after = {
        name: np.asarray(array.numpy())
        for name, array in model_of(reply.content, who="the app's reply").items()
    }
    try:
        model.layout.check(after)
    except DataError as error:
        raise ProtocolError(f"the app's reply is not of the model that it was given: {error}"
                            ) from error  # fmt: skip
    change = np.subtract(model.layout.flatten(after), model.vector, dtype=np.float64)
    if not np.isfinite(change).all():
        raise DataError("the trained model has NaN or infinite values; lower the learning rate")
    found = {
        name: value
        for record in reply.content.metric_records.values()
        for name, value in record.items()
        if isinstance(value, int | float)
    }
    metrics = {name: float(found[name]) for name in wanted if name in found}
    weight = found.get(weighted_by)
    return Contribution(
        change.astype(model.layout.dtype), None if weight is None else _whole(weight), metrics
    )


def _whole(weight: float) -> int:
    if weight != int(weight):
        raise DataError("weight: expected a whole number of examples")
    return int(weight)
