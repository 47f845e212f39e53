"""A `veil.fl.Task` as a ClientApp, the same object that `simulate` runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from veil._optional import require
from veil.fl import FedAvg, SiteRound
from veil.fl.protocols import Privacy, Strategy, Task
from veil.fl.sites import Site
from veil.integrations.flower.participant import Participant, Setting, refusal
from veil.integrations.flower.privacy import check_plan, of_session
from veil.integrations.flower.vectors import Contribution, Model, check_metrics
from veil.random import SecureGenerator

if TYPE_CHECKING:
    from flwr.app import Context, Message
    from flwr.clientapp import ClientApp

    from veil.secagg import Config

__all__ = ["task_app"]

_NONE: Mapping[str, float] = MappingProxyType({})
_log = logging.getLogger("veil.flower")


def task_app(
    task: Task | Callable[[Context], Task],
    load_site: Callable[[Context], Site],
    *,
    policy: Setting,
    identity: Setting = None,
    strategy: Strategy | None = None,
    metrics: Mapping[str, float] = _NONE,
    privacy: Privacy | None = None,
) -> ClientApp:
    """Make a ClientApp that trains a task at one site, masked; the task is that of `simulate`.

    Parameters
    ----------
    task : Task or callable
        What is trained, or a function from the node's ``Context`` to it.
    load_site : callable
        From the node's ``Context`` to its data; called once for each round.
    policy : Policy or callable
        As for `secagg_mod`.
    identity : Identity, path, callable or None, default None
        As for `secagg_mod`.
    strategy : Strategy or None, default None
        Whose client part is run: FedAvg (None) or FedProx.
    metrics : mapping of str to float, optional
        Scores of ``task.evaluate`` for the model that came, on this site's test rows, that may
        travel in the masked vector, each with its bound. All scores go to the site's own log.
    privacy : Privacy or None, default None
        `CentralDP` or `DistributedDP`, as at the server.

    Returns
    -------
    ClientApp
        Whose training is masked, and that answers nothing else.

    Raises
    ------
    ValueError
        If a bound is out of range, or the strategy keeps state at its sites.

    Notes
    -----
    Under `CentralDP` each site clips to slightly less than the norm, by what rounding to the
    session's lattice may add: what the ledger is charged holds for the rounded sum. That no patient
    is at two sites can be checked by nobody here, since ids stay at their sites.
    """
    own = FedAvg() if strategy is None else strategy
    if own.needs_individual_updates or not _is_plain(own):
        raise ValueError(
            f"strategy: {type(own).__name__} keeps state at the sites or uploads more than the "
            "model's change; use FedAvg or FedProx"
        )
    site = Participant(
        policy=policy, identity=identity, metrics=check_metrics(metrics), privacy=privacy
    )

    def trained(message: Message, context: Context) -> Message:
        found = task(context) if callable(task) and not isinstance(task, Task) else task

        def train(_: Message, model: Model, config: Config) -> Contribution:
            data = load_site(context)
            scores = found.evaluate(model.params, data)
            _log.info("site %s scores the model that came: %s", data.id, scores)
            check_plan(privacy, found, [data], rounds=1)
            kept = {name: scores[name] for name in site.metrics if name in scores}
            return _contribution(
                found, data, model, own, of_session(privacy, config, model.layout.size), kept
            )

        return site.answer(message, context, train)

    app: ClientApp = require("flwr.clientapp", "flower").ClientApp()
    app.train()(trained)
    for kind in (app.evaluate, app.query):
        kind()(lambda message, _: refusal(message, "only training is answered"))
    return app


def _is_plain(strategy: Strategy) -> bool:
    from veil.fl.strategies import FedProx

    return isinstance(strategy, FedAvg | FedProx)


def _contribution(
    task: Task,
    site: Site,
    model: Model,
    strategy: Strategy,
    privacy: Any,
    metrics: Mapping[str, float],
) -> Contribution:
    work = SiteRound(
        task=task,
        site=site,
        layout=model.layout,
        vector=model.vector,
        buffers={e.name: model.params[e.name] for e in model.layout.buffers},
        shared={},
        own={},
        rng=SecureGenerator(),
    )
    if privacy is not None:
        return Contribution(privacy.contribute(strategy, work).vector, None, {})
    upload = strategy.train(work)
    weight = None if upload.weight is None else int(upload.weight)
    return Contribution(upload.vector, weight, metrics)
