"""SecureStrategy: any mean-based Flower strategy, over sums that hide what they are made of."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from veil._checks import whole_or_none
from veil._optional import require
from veil.errors import ProtocolError
from veil.fixed_point import FixedPoint
from veil.fl.charging import Account, require_ledger
from veil.fl.history import History, Round
from veil.fl.layout import Layout
from veil.fl.records import Sum
from veil.integrations.flower.envelope import HEAD, PARTS
from veil.integrations.flower.exchange import PollingGrid
from veil.integrations.flower.privacy import check_plan, check_session
from veil.integrations.flower.progress import Progress
from veil.integrations.flower.rounds import Opened, Rounds
from veil.integrations.flower.sets import warn_of_near_sets
from veil.integrations.flower.terms import describe_privacy
from veil.integrations.flower.vectors import Model, check_metrics, metrics_from, model_of
from veil.integrations.flower.wrapped import check_wrapped, reply_of
from veil.random import SecureGenerator
from veil.secagg import Config, Roster
from veil.secagg.graph import amount_of

if TYPE_CHECKING:
    from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
    from flwr.serverapp import Grid
    from flwr.serverapp.strategy import Result, Strategy

    from veil.dp import Ledger

__all__ = ["SecureStrategy"]

_NONE: Mapping[str, float] = MappingProxyType({})
_log = logging.getLogger("veil.flower")


class SecureStrategy:
    """A Flower strategy whose server sees sums alone.

    Wraps a strategy that reads nothing but the weighted mean of its replies (FedAvg, FedAvgM,
    FedProx, FedAdam, FedAdagrad, FedYogi). Sites use `secagg_mod` or `task_app`. Per round, the
    server learns the sum of the sites' model changes, of their weights if `weight_max` is given, of
    the metrics named, and who took part; see `veil.secagg.Client` for the assumptions.

    Parameters
    ----------
    strategy : flwr.serverapp.strategy.Strategy
        The strategy inside: it samples nodes and makes the step.
    codec : FixedPoint
        Numbers to ring elements; its ``max_summands`` is at least the number of sites. ``clip``
        bounds a value of the change of the model.
    dropout : int or float
        Sites that may vanish in a round: a count, or a fraction.
    corrupt : int or float
        Sites that may collude with the server: a count, or a fraction.
    min_survivors : int or None
        Refuse to open a sum of fewer sites; None: the sites less the dropouts allowed.
    weight_max : int or None
        Greatest number of examples of a site; None: sites weigh alike and no count is sent.
    roster : Roster or None
        Every site's identity: the server may then be malicious and learns no more. None: it is
        trusted to follow the protocol.
    metrics : mapping of str to float, optional
        Training metrics to average, each with the bound of its absolute value; the sites name the
        same.
    privacy : CentralDP, DistributedDP or None, default None
        Then no weight, no metric and no count leaves a site. `CentralDP` trusts the server with the
        noise, `DistributedDP` nobody: pass its ``shares.codec``, `min_survivors` and `max_corrupt`
        as `codec`, `min_survivors` and `corrupt`.
    task : Task or None, default None
        The task, for mechanisms whose server part needs it.
    ledger : Ledger or None, default None
        Where a private run is reserved, then charged round by round before any site samples: a
        round that failed stays charged. Required with `privacy`, and then alone. Under
        `DistributedDP` it is the server's record; what binds are the sites' own ledgers.
    label : str or None, default None
        Of the charges; None is the mechanism's name.
    checkpoint : path, optional
        File that is written after each round; a run that finds it goes on from there.
    patience : float or None, default None
        Seconds to wait for stragglers once all but the allowed dropouts have answered; None waits
        until the timeout, or until they are offline.

    Attributes
    ----------
    refused : dict of str to str
        Sites whose message was not used in the last round, and why.

    Raises
    ------
    ProtocolError
        If the strategy needs single updates (Krum, median, trimmed mean), or weights or metrics are
        asked for under differential privacy.
    TypeError
        If `strategy` is no strategy of Flower's Message API.
    ValueError
        If an argument is out of range.

    Warns
    -----
    VeilWarning
        If a sum without noise in it is opened over a set of sites that differs from that of another
        round by fewer than ``corrupt + 2``: whoever sees both sums sees their difference.

    Notes
    -----
    The strategy inside must send all nodes the same: masks are bound to it, see `secagg_mod`. A
    round costs two exchanges, three with a roster: the next session is set up in the messages of
    the present one. Sites are not asked to evaluate, since their scores would come in clear: name
    them among `metrics`. A round whose sum may not be opened leaves the model as it was.
    """

    def __init__(
        self,
        strategy: Strategy,
        *,
        codec: FixedPoint,
        dropout: int | float,
        corrupt: int | float,
        min_survivors: int | None,
        weight_max: int | None,
        roster: Roster | None,
        metrics: Mapping[str, float] = _NONE,
        privacy: Any = None,
        task: Any = None,
        ledger: Ledger | None = None,
        label: str | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        patience: float | None = None,
    ) -> None:
        check_wrapped(strategy)
        require("flwr.serverapp.strategy", "flower").Strategy.register(SecureStrategy)
        self.strategy = strategy
        self._codec = codec
        self._limits: dict[str, Any] = {
            "dropout": amount_of("dropout", dropout),
            "corrupt": amount_of("corrupt", corrupt),
            "adversary": "honest-but-curious" if roster is None else "malicious",
            "min_survivors": whole_or_none("min_survivors", min_survivors),
            "weight_max": whole_or_none("weight_max", weight_max),
        }
        self._metrics = check_metrics(metrics)
        self._privacy = privacy
        self._task = task
        self._ledger: Any = ledger
        self._label = label
        self._timeout: float | None = None
        self._patience = patience
        self._roster = roster
        self._check_privacy()
        require_ledger(privacy, ledger)
        self._account: Account | None = None
        self._rounds = Rounds(self._config_for, self._metrics, describe_privacy(privacy), roster)
        self._upload = Layout((), ())
        self._model: Model | None = None
        self._grid: PollingGrid | None = None
        settings = [codec, privacy, repr(self._limits), repr(self._metrics)]
        self._progress = Progress(strategy, settings, checkpoint)
        self._opened: set[frozenset[str]] = set()
        self._last: int | None = None
        self._began = 0.0
        self.refused: dict[str, str] = {}

    @property
    def exchanges(self) -> int:
        """Exchanges with the nodes so far."""
        return self._rounds.exchanges

    @property
    def history(self) -> History:
        """What was done so far, with the model and the privacy statement.

        Raises
        ------
        ProtocolError
            If no round has been completed.
        """
        state = self._progress.state
        if state is None:
            raise ProtocolError("history: expected a completed round, got none")
        statement = None
        if self._privacy is not None:
            statement = self._privacy.statement(state.layout, seeded=False)
        return History(state.rounds, state.params, state.layout, False, statement)

    def summary(self) -> None:
        """Log the settings, and those of the strategy inside."""
        limits = ", ".join(f"{name}={value}" for name, value in self._limits.items())
        _log.info("secure sums of %s: %s", type(self.strategy).__name__, limits)
        self.strategy.summary()

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
    ) -> Result:
        """Run the rounds that are still to do.

        Parameters
        ----------
        grid : Grid
            Flower's way to the nodes.
        initial_arrays : ArrayRecord
            The model; a checkpoint's takes its place.
        num_rounds : int
            Rounds in all, those in the checkpoint included.
        timeout : float
            Most seconds for one exchange.
        train_config, evaluate_config : ConfigRecord, optional
            As for Flower's strategies.
        evaluate_fn : callable, optional
            Scores the model at the server, by number of the round.

        Returns
        -------
        Result
            Final model and metrics by round, of the whole run.

        Raises
        ------
        ProtocolError
            If no round of the run could be completed, or the checkpoint is another run's.
        BudgetExceeded
            If the ledger refuses a round; the sites are not asked then.
        """
        base = require("flwr.serverapp.strategy", "flower").Strategy
        self._timeout = timeout
        self._last = num_rounds
        model = self._progress.resume(Model.of(initial_arrays))
        check_plan(self._privacy, self._task, [], rounds=num_rounds)
        done = self._progress.done
        scored = evaluate_fn and (lambda number, arrays: evaluate_fn(number + done, arrays))
        result: Result = base.start(
            self,
            PollingGrid(grid, self._patience),
            model.record(model.vector),
            num_rounds - done,
            timeout,
            train_config,
            evaluate_config,
            scored,
        )
        if self._progress.state is None:
            raise ProtocolError(
                f"none of {num_rounds} rounds could be completed; the log names the sites and why"
            )
        return self._progress.whole(result)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Set up a session if none is ready, and ask its members for masked updates.

        Parameters
        ----------
        server_round : int
            Number of the round in this process.
        arrays : ArrayRecord
            The model.
        config : ConfigRecord
            For the sites' training.
        grid : Grid
            Flower's way to the nodes.

        Returns
        -------
        iterable of Message
            One for each node.
        """
        number = server_round + self._progress.done
        self._began = time.perf_counter()
        self._model = model = Model.of(arrays)
        self._upload = self._upload_layout(model.layout)
        self._grid = grid if isinstance(grid, PollingGrid) else PollingGrid(grid, self._patience)
        messages = list(self.strategy.configure_train(number, arrays, config, grid))
        nodes = [message.metadata.dst_node_id for message in messages]
        if not nodes:
            return []
        self._rounds.message_type = messages[0].metadata.message_type
        self._grid.enough = self._enough(len(nodes))
        if not self._rounds.prepare(nodes, self._grid, group=str(number), timeout=self._timeout):
            return []
        self._charge(model.layout, number)
        requests = self._rounds.requests(nodes, more=self._last is None or number < self._last)
        return [
            _sealed(message, requests[message.metadata.dst_node_id], str(number))
            for message in messages
            if message.metadata.dst_node_id in requests
        ]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Open the sum, and let the strategy inside step with its mean.

        Parameters
        ----------
        server_round : int
            Number of the round in this process.
        replies : iterable of Message
            The sites' replies.

        Returns
        -------
        tuple of ArrayRecord or None, MetricRecord or None
            The next model and the mean metrics; None if the sum may not be opened.
        """
        number = server_round + self._progress.done
        assert self._grid is not None
        opened = self._rounds.open(replies, self._grid, timeout=self._timeout)
        if opened is None:
            return None, None
        self.refused = dict(opened.refused)
        self._compare_sets(opened)
        model, weight, metrics = self._mean(opened)
        reply = reply_of(self.strategy, model, weight, metrics)
        arrays, given = self.strategy.aggregate_train(number, [reply])
        if arrays is None or self._model is None:
            return None, given
        arrays = self._model.restored(arrays)
        done = Round(
            number=number,
            seconds=time.perf_counter() - self._began,
            bytes_up=opened.bytes_up,
            bytes_down=opened.bytes_down,
            survivors=opened.survivors,
            metrics={"all": metrics} if metrics else {},
        )
        self._progress.commit(done, Model.of(arrays))
        return arrays, given

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask nobody: scores of single sites would come in clear.

        Parameters
        ----------
        server_round : int
            Number of the round.
        arrays : ArrayRecord
            The model.
        config : ConfigRecord
            Not used.
        grid : Grid
            Not used.

        Returns
        -------
        iterable of Message
            Empty.
        """
        return []

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Return nothing, since nobody was asked.

        Parameters
        ----------
        server_round : int
            Number of the round.
        replies : iterable of Message
            Empty.

        Returns
        -------
        None
            Always.
        """
        return None

    def _check_privacy(self) -> None:
        if self._privacy is None:
            return
        if self._limits["weight_max"] is not None:
            raise ProtocolError(
                "weight_max: expected None under differential privacy: the sum of the counts would "
                "be a release without noise"
            )
        if self._metrics:
            raise ProtocolError(
                "metrics: expected none under differential privacy: their sum has no noise"
            )

    def _config_for(self, nodes: int) -> Config:
        config = Config.for_cohort(
            nodes if self._roster is None else len(self._roster.names),
            codec=self._codec,
            length=self._upload.size + len(self._metrics),
            noise=getattr(self._privacy, "share", None),
            **self._limits,
        )
        check_session(self._privacy, config)
        return config

    def _enough(self, nodes: int) -> int:
        """Answers without which no sum can be opened."""
        needed = self._config_for(nodes).thresholds(nodes)
        return max(needed.min_survivors, needed.t, needed.quorum if self._roster else 0)

    def _upload_layout(self, layout: Layout) -> Layout:
        if self._privacy is None:
            return layout
        described: Layout = self._privacy.upload_layout(layout)
        return described

    def _mean(self, opened: Opened) -> tuple[ArrayRecord, float, dict[str, float]]:
        """Compute the mean model, its weight, and the mean metrics."""
        assert self._model is not None
        weight, count = opened.total.weight, len(opened.survivors)
        scaled = opened.total.total[self._upload.size :] / (1 if weight is not None else count)
        metrics = metrics_from(scaled, self._metrics, self._codec.clip)
        moved = self._model.vector + self._released(opened)
        return self._model.record(moved), float(weight or count), metrics

    def _released(self, opened: Opened) -> NDArray[Any]:
        """Give the mean change of the model; of a private round what the mechanism makes of it."""
        assert self._model is not None
        total = opened.total.total[: self._upload.size]
        if self._privacy is None:
            return total if opened.total.weight is not None else total / len(opened.survivors)
        released: Sum = self._privacy.release(
            Sum(total, None, opened.survivors),
            task=self._task,
            params=self._model.params,
            rng=SecureGenerator(),
        )
        return released.mean()

    def _compare_sets(self, opened: Opened) -> None:
        state = self._progress.state
        earlier = {frozenset(done.survivors) for done in (state.rounds if state else ())}
        warn_of_near_sets(opened.survivors, earlier | self._opened, apart=opened.apart)
        self._opened.add(frozenset(opened.survivors))

    def _charge(self, layout: Layout, number: int) -> None:
        """Charge a round before any site samples; the plan is reserved before the first."""
        if self._privacy is None:
            return
        if self._account is None:
            needed = None
            if self._progress.done > 0 and self._last is not None:
                needed = self._last - number + 1
            self._account = Account.open(
                self._ledger, self._privacy, layout, label=self._label, needed=needed
            )
        self._account.charge_round()


def _sealed(message: Message, request: Any, group: str) -> Message:
    """Add Veil's records to what the strategy inside sends; no model goes to who only joins."""
    flwr = require("flwr.app", "flower")
    trains = any(step.name == "mask" for step in request.steps)
    if HEAD in message.content or PARTS in message.content:
        raise ProtocolError(f"strategy: its messages use Veil's record names {HEAD}, {PARTS}")
    own = dict(message.content) if trains else {}
    if trains:
        model_of(message.content, who="strategy")
    sealed: Message = flwr.Message(
        flwr.RecordDict(own | request.records()),
        message.metadata.dst_node_id,
        message.metadata.message_type,
        ttl=message.metadata.ttl,
        group_id=group,
    )
    return sealed
