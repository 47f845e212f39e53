"""A `veil.fl.Task` as a ClientApp, the same object that `simulate` runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cache
from types import EllipsisType, MappingProxyType
from typing import TYPE_CHECKING, Any

from veil._optional import require
from veil.fl import FedAvg, SiteRound
from veil.fl.layout import Layout
from veil.fl.privacy.sampled import check_units
from veil.fl.protocols import Privacy, Strategy, Task
from veil.fl.sites import Site
from veil.integrations.flower.account import check_settings
from veil.integrations.flower.deadline import checked_seconds
from veil.integrations.flower.participant import Participant, Setting, refusal
from veil.integrations.flower.privacy import check_plan, of_session
from veil.integrations.flower.turn import Work, own_code
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
    ledger: Setting = None,
    label: str | None = None,
    answer_after: float | EllipsisType | None = ...,
) -> ClientApp:
    """Make a ClientApp that trains a task at one site, masked; the task is that of `simulate`.

    Parameters
    ----------
    task : Task or callable
        What is trained, or a function from the node's ``Context`` to it.
    load_site : callable
        From the node's ``Context`` to its data; called once for each round, and with `privacy` at
        the first invitation of a run.
    policy : Policy or callable
        As for `secagg_mod`.
    identity : Identity, path, callable or None, default None
        As for `secagg_mod`.
    strategy : Strategy or None, default None
        Whose client part is run: FedAvg (None) or FedProx.
    metrics : mapping of str to float, optional
        Scores of ``task.evaluate`` for the model that came, on this site's test rows, that may
        travel in the masked vector, each with its bound. A value beyond its bound is sent as the
        bound, one that is missing or NaN as 0. All scores go to the site's own log; none may be
        named with `privacy`.
    privacy : Privacy or None, default None
        `CentralDP` or `DistributedDP`, as at the server.
    ledger : Ledger, path, callable or None, default None
        This site's own account, as for `secagg_mod`: required with `DistributedDP`, used with
        `CentralDP` if it is given or the node's configuration names one.
    label : str or None, default None
        As for `secagg_mod`.
    answer_after : float or None
        As for `secagg_mod`; must be written with `DistributedDP`.

    Returns
    -------
    ClientApp
        Whose training is masked, and that answers nothing else.

    Raises
    ------
    ValueError
        If a bound is out of range, the strategy keeps state at its sites, or the settings do not go
        together.
    TypeError
        If `privacy` is a `DistributedDP` and `answer_after` is left out.

    Notes
    -----
    With `privacy`, data that do not load, or patients who do not fit the unit, are refused at the
    first invitation of a run, before any model has come. From then on nothing about the data
    decides whether, or in what form, the site answers: what cannot be computed counts as zero, for
    one patient or for the site, whichever the mechanism protects, and the site's log says so.

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

    def trained(message: Message, context: Context) -> Message:
        @cache
        def found() -> Task:
            with own_code():
                return task(context) if callable(task) and not isinstance(task, Task) else task

        def train(_: Message, model: Model, config: Config) -> Contribution:
            if privacy is None:
                with own_code():
                    return _plain(found(), load_site(context), model, own, site.metrics)
            mechanism = of_session(privacy, config, model.layout.size)
            return _private(found(), lambda: load_site(context), model, own, mechanism)

        def layout() -> Layout:
            with own_code():
                return Layout.of(found().init(SecureGenerator()))

        def ready() -> str:
            data = load_site(context)
            check_plan(privacy, found(), [data], rounds=1)
            return data.id

        work = Work(train, layout=layout, ready=ready)
        return site.answer(message, context, work)

    app: ClientApp = require("flwr.clientapp", "flower").ClientApp()
    app.train()(trained)
    for kind in (app.evaluate, app.query):
        kind()(lambda message, _: refusal(message, "only training is answered"))
    return app


def _is_plain(strategy: Strategy) -> bool:
    from veil.fl.strategies import FedProx

    return isinstance(strategy, FedAvg | FedProx)


def _plain(
    task: Task, site: Site, model: Model, strategy: Strategy, wanted: Mapping[str, float]
) -> Contribution:
    scores = _scores(task, model, site)
    upload = strategy.train(_work(task, site, model))
    weight = None if upload.weight is None else int(upload.weight)
    return Contribution(
        upload.vector, weight, {name: scores[name] for name in wanted if name in scores}
    )


def _private(
    task: Task, load: Callable[[], Site], model: Model, strategy: Strategy, mechanism: Any
) -> Contribution:
    """Do a site's part of a private round; nothing about the data raises."""
    try:
        site = load()
        if not isinstance(site, Site):
            raise TypeError(f"load_site: expected a veil.fl.Site, got {type(site).__name__}")
        if mechanism.unit != "site":
            check_units([site], mechanism.unit)
    except KeyboardInterrupt:  # the operator stops the site
        raise
    except BaseException:
        _log.exception("the data, which did at the first invitation, do not load or fit: this site "
                       "sends what it would send without any")  # fmt: skip
        nothing = mechanism.nothing(model.layout, SecureGenerator())
        return Contribution(nothing.vector, None, {})
    upload = mechanism.contribute(strategy, _work(task, site, model))
    _scores(task, model, site)  # for the log, and last: nothing of it reaches the answer
    return Contribution(upload.vector, None, {})


def _scores(task: Task, model: Model, site: Site) -> Mapping[str, float]:
    """Score the model that came, for the site's log; empty where that fails."""
    try:
        scores = task.evaluate({name: a.copy() for name, a in model.params.items()}, site)
    except KeyboardInterrupt:  # the operator stops the site
        raise
    except BaseException:
        _log.exception("site %s: the model that came could not be scored", site.id)
        return {}
    _log.info("site %s scores the model that came: %s", site.id, scores)
    return scores


def _work(task: Task, site: Site, model: Model) -> SiteRound:
    return SiteRound(
        task=task,
        site=site,
        layout=model.layout,
        vector=model.vector,
        buffers={e.name: model.params[e.name] for e in model.layout.buffers},
        shared={},
        own={},
        rng=SecureGenerator(),
    )
