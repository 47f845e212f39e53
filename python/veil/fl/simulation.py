"""`simulate`: a whole federated run in one process, round by round."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from veil.errors import DataError, ProtocolError
from veil.fl import _checks
from veil.fl.aggregate import PlainSum
from veil.fl.binding import round_context
from veil.fl.charging import Account, require_ledger
from veil.fl.checkpoint import Checkpoint, fingerprint
from veil.fl.history import History, Round
from veil.fl.layout import Layout
from veil.fl.protocols import Aggregator, Privacy, Strategy, Task
from veil.fl.records import Params, SiteRound, State, Sum
from veil.fl.sites import Site, check_sites
from veil.fl.streams import Streams

if TYPE_CHECKING:
    from veil.dp import Ledger

__all__ = ["simulate"]


def simulate(
    task: Task,
    sites: Sequence[Site],
    strategy: Strategy,
    *,
    rounds: int,
    seed: int | None,
    aggregator: Aggregator | None = None,
    privacy: Privacy | None = None,
    ledger: Ledger | None = None,
    label: str | None = None,
    on_round: Callable[[Checkpoint], None] | None = None,
    evaluate_every: int = 1,
    resume: Checkpoint | None = None,
) -> History:
    """Run federated learning between sites in this process.

    With a seed every draw repeats: the same seed and data give the same bits, whatever the order
    of `sites` and the number of threads. Seeded noise protects nobody; the history says so.

    Parameters
    ----------
    task : Task
        What is trained.
    sites : sequence of Site
        Who trains, in any order.
    strategy : Strategy
        How sites train and the server steps.
    rounds : int
        Rounds to have been run at the end, those of `resume` included.
    seed : int or None
        Non-negative. None takes entropy from the operating system.
    aggregator : Aggregator, optional
        How updates are summed; None is ``PlainSum()``.
    privacy : CentralDP or other Privacy, optional
        Mechanism in place of plain local training; None is no differential privacy.
    ledger : Ledger or None
        Required with `privacy`: the whole plan is reserved in it before the first round, unless it
        is reserved under `label` already, and each round is charged before anything is drawn. None
        without `privacy`.
    label : str, optional
        Label of the charges; None is the mechanism's name.
    on_round : callable, optional
        Called with the `Checkpoint` after each round; it may save it, show progress, or raise to
        stop. Nothing of an interrupted round is in any checkpoint.
    evaluate_every : int
        Score the model at every site each so many rounds, and after the last.
    resume : Checkpoint, optional
        Where to go on from: the result has the bits of a run that never stopped. Rounds that were
        played are charged to the ledger of that time; what the given one has reserved under
        `label` is used up first.

    Returns
    -------
    History
        Rounds, scores per site, bytes, seconds, final model and privacy statement.

    Raises
    ------
    DataError
        If sites do not fit together, an update differs in names, shape or dtype or is not finite
        (the message names the site), all weights are zero, or the model diverges.
    ProtocolError
        If the strategy reads single updates and the aggregator does not see them, or `resume`
        belongs to another run.
    ValueError
        If `rounds`, `seed` or `evaluate_every` is out of range, or `privacy` refuses.
    TypeError
        If a private run has no ledger.
    BudgetExceeded
        If the ledger refuses the plan; nothing was drawn.

    Notes
    -----
    Sites train one after the other. Memory: the data, one model per site state and 16 bytes per
    value. Random streams are derived per purpose, round and site. Under `privacy` nothing about a
    site's data raises: what cannot be computed counts as zero, and the log "veil.fl" tells.

    Examples
    --------
    >>> x, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])
    >>> site = veil.fl.Site(id="a", x=x, y=y, x_test=x, y_test=y, patients=None)
    >>> task = veil.fl.LogisticRegression(features=1, learning_rate=1.0, epochs=5, batch_size=None)
    >>> run = veil.fl.simulate(task, [site], veil.fl.FedAvg(), rounds=3, seed=1)
    >>> run.metrics["a"]["auroc"]
    1.0
    """
    rounds = _checks.count("rounds", rounds)
    evaluate_every = _checks.count("evaluate_every", evaluate_every)
    ordered = sorted(sites, key=lambda site: site.id)
    check_sites(ordered)
    aggregator = PlainSum() if aggregator is None else aggregator
    if strategy.needs_individual_updates and not aggregator.sees_individual_updates:
        raise ProtocolError(
            f"strategy: {type(strategy).__name__} reads each site's update, which "
            f"{type(aggregator).__name__} keeps from the server; use a strategy that needs sums"
        )
    if privacy is not None:
        privacy.check(task, strategy, aggregator, ordered, rounds=rounds)
    require_ledger(privacy, ledger)
    run = _Run(task, ordered, strategy, aggregator, privacy, Streams(seed))
    state = run.begin() if resume is None else run.accept(resume, rounds)
    account = None
    if privacy is not None and ledger is not None and len(state.rounds) < rounds:
        needed = None if resume is None else rounds - len(state.rounds)
        account = Account.open(ledger, privacy, state.layout, label=label, needed=needed)
    while len(state.rounds) < rounds:
        number = len(state.rounds) + 1
        if account is not None:
            account.charge_round()
        state = run.play(state, score=number % evaluate_every == 0 or number == rounds)
        if on_round is not None:
            on_round(state)
    return History(
        rounds=state.rounds,
        params=state.params,
        layout=state.layout,
        seeded=run.streams.seeded,
        privacy=(
            None if privacy is None else privacy.statement(state.layout, seeded=run.streams.seeded)
        ),
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """The parties of one run; all that changes is in the `Checkpoint` passed along."""

    task: Task
    sites: list[Site]
    strategy: Strategy
    aggregator: Aggregator
    privacy: Privacy | None
    streams: Streams

    def begin(self) -> Checkpoint:
        params = self.task.init(self.streams.get("init"))
        layout = Layout.of(params)
        return Checkpoint(
            fingerprint=self._fingerprint(),
            layout=layout,
            vector=layout.flatten(params),
            buffers={entry.name: params[entry.name] for entry in layout.buffers},
            server=self.strategy.server_state(layout, [site.id for site in self.sites]),
            sites={site.id: self.strategy.site_state(layout) for site in self.sites},
            rounds=(),
        )

    def accept(self, state: Checkpoint, rounds: int) -> Checkpoint:
        if state.fingerprint != self._fingerprint():
            raise ProtocolError(
                "resume: expected a checkpoint of this run, but task, strategy, aggregator, "
                "privacy, seed or data differ"
            )
        if len(state.rounds) > rounds:
            raise ValueError(
                f"rounds: expected at least the {len(state.rounds)} already done, got {rounds}"
            )
        return state

    def play(self, state: Checkpoint, *, score: bool) -> Checkpoint:
        """Play one round and return the next state; `state` stays as it is."""
        begin = time.perf_counter()
        number = len(state.rounds) + 1
        total, kept, bytes_down = self._collect(state, number)
        if self.privacy is not None:
            rng = self.streams.get("noise", round=number)
            total = self.privacy.release(total, task=self.task, params=state.params, rng=rng)
        vector, server = self.strategy.step(state.vector, state.server, total)
        if not np.isfinite(vector).all():
            raise DataError(f"round {number}: the model diverged; lower a learning rate")
        own = dict(state.sites) | {site: kept[site] for site in total.survivors}
        seconds = time.perf_counter() - begin
        following = replace(state, vector=vector, server=server, sites=own)
        extra_up, extra_down = self.aggregator.bytes_moved
        done = Round(
            number=number,
            seconds=seconds,
            bytes_up=extra_up,
            bytes_down=bytes_down + extra_down,
            survivors=total.survivors,
            metrics=self._score(following.params) if score else {},
        )
        return replace(following, rounds=(*state.rounds, done))

    def _collect(self, state: Checkpoint, number: int) -> tuple[Sum, dict[str, State], int]:
        """Send the model down, let each site do its part, aggregate."""
        shared = self.strategy.shared(state.layout, state.server)
        described = (self.privacy or self.strategy).upload_layout(state.layout)
        self.aggregator.open(
            described,
            [site.id for site in self.sites],
            round=number,
            context=self._context(state, number, shared, described),
            individual=self.strategy.needs_individual_updates,
        )
        kept: dict[str, State] = {}
        for site in self.sites:
            work = SiteRound(
                task=self.task,
                site=site,
                layout=state.layout,
                vector=state.vector,
                buffers=state.buffers,
                shared=shared,
                own=state.sites[site.id],
                rng=self.streams.get("train", round=number, site=site.id),
            )
            upload = (
                self.strategy.train(work)
                if self.privacy is None
                else self.privacy.contribute(self.strategy, work)
            )
            self.aggregator.add(site.id, upload.vector, upload.weight)
            kept[site.id] = upload.keep
        download = _nbytes(state.vector, *state.buffers.values(), *shared.values())
        return self.aggregator.close(), kept, download * len(self.sites)

    def _context(self, state: Checkpoint, number: int, shared: State, upload: Layout) -> bytes:
        if self.aggregator.sees_individual_updates:
            return b""  # no masks that could be bound to it
        return round_context(
            params=state.layout.unflatten(state.vector, buffers=state.buffers),
            number=number,
            shared=shared,
            task=self.task,
            strategy=self.strategy,
            privacy=self.privacy,
            upload=upload,
        )

    def _score(self, params: Params) -> dict[str, dict[str, float]]:
        return {site.id: self.task.evaluate(params, site) for site in self.sites}

    def _fingerprint(self) -> str:
        settings = [self.task, self.strategy, self.privacy, self.streams.seed]
        return fingerprint([*settings, type(self.aggregator).__qualname__], self.sites)


def _nbytes(*arrays: Any) -> int:
    return sum(int(array.nbytes) for array in arrays)
