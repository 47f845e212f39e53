"""The mod: any ClientApp, with its training reply masked and everything else kept back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import EllipsisType, MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from veil.errors import DataError, ProtocolError
from veil.fl import DistributedDP
from veil.integrations.flower.account import check_settings
from veil.integrations.flower.deadline import checked_seconds
from veil.integrations.flower.participant import Participant, Setting, refusal
from veil.integrations.flower.privacy import noisy_change
from veil.integrations.flower.turn import Work, own_code
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
    ledger: Setting = None,
    label: str | None = None,
    answer_after: float | EllipsisType | None = ...,
) -> Callable[[Message, Context, ClientAppCallable], Message]:
    """Make a mod that masks what a ClientApp's training sends.

    Per session, the server learns the sum over the sites of the model's changes, of the example
    counts if the session is weighted, and of the metrics named here: nothing else leaves, not even
    in an error's text. Assumptions: those of `veil.secagg.Client`.

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
        value; the server must name the same. A value beyond its bound is sent as the bound, one
        that is missing or NaN as 0. All others stay here; none may be named with `privacy`.
    weighted_by : str, default "num-examples"
        Metric of the app's reply that weighs its change where the server asks for weights.
    privacy : DistributedDP or None, default None
        The mechanism that the server names too, with ``unit="site"``: the change is clipped and
        gets its share of the noise before it is masked. Mechanisms that protect records or
        patients work on gradients and need `task_app`.
    ledger : Ledger, path, callable or None, default None
        This site's own account, required with `privacy`: a ledger file (`veil ledger new`), or a
        function from the ``Context``. All rounds of the mechanism are reserved in it at the first
        invitation, each is charged before the app is called, and no invitation is answered when
        they are spent. None takes the path from the node's configuration,
        ``--node-config 'ledger="site.ledger"'``.
    label : str or None, default None
        What they are charged under; None is made from the mechanism's parameters. A second run of
        one mechanism on the same patients needs a label of its own.
    answer_after : float or None
        Seconds after a request's arrival at which an answer leaves that touched data; None sends it
        when it is ready, which shows the server how long it took. Must be written with `privacy`.

    Returns
    -------
    callable
        A mod: ``ClientApp(mods=[secagg_mod(...)])``, as the first of the list, so that what other
        mods do to a reply happens before it is masked.

    Raises
    ------
    ValueError
        If a bound is not a finite number above zero, or the settings do not go together.
    TypeError
        If `privacy` is given and `answer_after` is left out.

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

    With `privacy`, nothing that the app does decides whether, or in what form, the site answers: an
    app that raises, replies with an error or with something else than the model, or whose model is
    not finite, counts as a change of zero, and the site's log says so. The model that comes is
    checked first: finite, and of bounded magnitude.
    """
    _refuse_on_gradients(privacy)
    check_settings(ledger, label, metrics, privacy)
    site = Participant(
        policy=policy,
        identity=identity,
        metrics=check_metrics(metrics),
        privacy=privacy,
        ledger=ledger,
        label=label,
        answer_after=checked_seconds(answer_after, privacy),
    )

    def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        if message.metadata.message_type.partition(".")[0] != "train":
            return refusal(message, "only training is answered: its metrics travel masked")

        def train(shown: Message, model: Model, _: Config) -> Contribution:
            def change() -> NDArray[Any]:
                return _change(call_next(shown, context), model)

            if privacy is not None:
                return noisy_change(privacy, change, model)
            with own_code():
                reply = call_next(shown, context)
            return _contribution(reply, model, site.metrics, weighted_by)

        return site.answer(message, context, Work(train))

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
    change = _change(reply, model)
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
    return Contribution(change, None if weight is None else _whole(weight), metrics)


def _change(reply: Message, model: Model) -> NDArray[Any]:
    """Read the change of the model from an app's reply."""
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
    with np.errstate(all="ignore"):  # what is not finite is found afterwards
        change = np.subtract(model.layout.flatten(after), model.vector, dtype=np.float64)
        narrow: NDArray[Any] = change.astype(model.layout.dtype)
    return narrow


def _whole(weight: float) -> int:
    if weight != int(weight):
        raise DataError("weight: expected a whole number of examples")
    return int(weight)
