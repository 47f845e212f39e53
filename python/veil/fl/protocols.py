"""The seam of federated learning: Task, Strategy, Aggregator and Privacy.

One round, whoever drives it (`simulate`, an FL engine):

    server   strategy.shared(layout, state)              down: the model and what the strategy adds
    site     strategy.train(work) -> Upload              or privacy.contribute(strategy, work)
    between  aggregator.open / add / close -> Sum        plain, masked or encrypted
    server   privacy.release(sum), strategy.step(...)    the next model

Everything that crosses the wire is one flat vector described by a `Layout`. Strategies hold no
state of their own: server and site state are plain named arrays that the driver keeps, so a run
can stop and go on at any round boundary and in any process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from veil.fl.records import (
    GradientCorrection,
    LocalUpdate,
    Params,
    SiteRound,
    State,
    Sum,
    Upload,
)

if TYPE_CHECKING:
    from veil.dp import Charge
    from veil.fl.layout import Layout
    from veil.fl.sites import Site
    from veil.fl.statement import PrivacyStatement
    from veil.random import SecureGenerator

__all__ = ["Aggregator", "Privacy", "PrivateTask", "Strategy", "Task"]


@runtime_checkable
class Task(Protocol):
    """A model and its data: what to start from, how a site trains, how it is scored."""

    def init(self, rng: SecureGenerator) -> Params:
        """Make the first model.

        Parameters
        ----------
        rng : SecureGenerator
            The only source of what is random in it: same stream, same bits.

        Returns
        -------
        dict of str to ndarray
            The model; names, shapes and dtypes never change in a run.
        """
        ...

    def local_update(
        self,
        params: Params,
        site: Site,
        *,
        correction: GradientCorrection,
        rng: SecureGenerator,
    ) -> LocalUpdate:
        """Train at one site.

        Parameters
        ----------
        params : dict of str to ndarray
            The model to start from; must not be changed.
        site : Site
            The site's data.
        correction : GradientCorrection
            To be added to every step's gradient.
        rng : SecureGenerator
            Draws the minibatches.

        Returns
        -------
        LocalUpdate
            The trained model.
        """
        ...

    def predict(self, params: Params, x: NDArray[Any]) -> NDArray[np.float64]:
        """Return the probability of class 1 for each row.

        Parameters
        ----------
        params : dict of str to ndarray
            The model.
        x : ndarray of float, shape (n, ...)
            Rows.

        Returns
        -------
        ndarray of float64, shape (n,)
            Probabilities.
        """
        ...

    def evaluate(self, params: Params, site: Site) -> dict[str, float]:
        """Score the model on a site's test rows.

        Parameters
        ----------
        params : dict of str to ndarray
            The model.
        site : Site
            The site's data.

        Returns
        -------
        dict of str to float
            Scores by name; NaN where a score is not defined.
        """
        ...


@runtime_checkable
class PrivateTask(Task, Protocol):
    """A task whose gradients are known per record: what differential privacy needs."""

    @property
    def learning_rate(self) -> float:
        """Step size of the private gradient step."""
        ...

    def record_gradients(
        self, params: Params, x: NDArray[Any], y: NDArray[Any]
    ) -> NDArray[np.floating[Any]]:
        """Return the gradient of each row's loss.

        A row's gradient must not depend on the other rows. Before a run it is tried on two rows of
        zeros. A patient on whose rows it raises, or whose gradient is not finite, counts as zero.

        Parameters
        ----------
        params : dict of str to ndarray
            The model.
        x : ndarray of float, shape (n, ...)
            Rows.
        y : ndarray of 0 and 1, shape (n,)
            Targets.

        Returns
        -------
        ndarray of float32 or float64, shape (n, size)
            In the order of the model's `Layout`, without any penalty.
        """
        ...

    def penalty_gradient(self, params: Params) -> NDArray[np.floating[Any]]:
        """Return the gradient of the penalty, for example L2.

        Parameters
        ----------
        params : dict of str to ndarray
            The model, and all that the result depends on: it is added after the noise.

        Returns
        -------
        ndarray of float, shape (size,)
            In the order of the model's `Layout`.
        """
        ...


@runtime_checkable
class Strategy(Protocol):
    """How sites train in a round, and how the server steps. Holds settings, never state."""

    @property
    def needs_individual_updates(self) -> bool:
        """Whether `step` reads ``Sum.updates`` (median, Krum): refused over secure aggregation."""
        ...

    @property
    def needs_mean_only(self) -> bool:
        """Whether sites train plainly and `step` uses nothing but the mean model change.

        Then a privacy mechanism may put a private mean in its place.
        """
        ...

    def server_state(self, layout: Layout, site_ids: Sequence[str]) -> State:
        """Return the server's state before the first round.

        Parameters
        ----------
        layout : Layout
            The model's layout.
        site_ids : sequence of str
            All sites of the run.

        Returns
        -------
        mapping of str to ndarray
            The state.
        """
        ...

    def site_state(self, layout: Layout) -> State:
        """Return a site's state before its first round.

        Parameters
        ----------
        layout : Layout
            The model's layout.

        Returns
        -------
        mapping of str to ndarray
            The state.
        """
        ...

    def upload_layout(self, layout: Layout) -> Layout:
        """Describe what a site uploads.

        Parameters
        ----------
        layout : Layout
            The model's layout.

        Returns
        -------
        Layout
            The upload's layout.
        """
        ...

    def shared(self, layout: Layout, state: State) -> State:
        """Select what goes down to every site beside the model.

        Parameters
        ----------
        layout : Layout
            The model's layout.
        state : mapping of str to ndarray
            The server's state.

        Returns
        -------
        mapping of str to ndarray
            What is sent.
        """
        ...

    def train(self, work: SiteRound) -> Upload:
        """Do a site's part of a round.

        Parameters
        ----------
        work : SiteRound
            What the site has in hand.

        Returns
        -------
        Upload
            What leaves it, and what it keeps.
        """
        ...

    def step(self, vector: NDArray[Any], state: State, total: Sum) -> tuple[NDArray[Any], State]:
        """Do the server's part of a round; the arguments stay unchanged.

        Parameters
        ----------
        vector : ndarray of shape (layout.size,)
            The model.
        state : mapping of str to ndarray
            The server's state.
        total : Sum
            Of the sites' uploads.

        Returns
        -------
        tuple of ndarray and mapping
            The next model, of the dtype of `vector`, and the next state.
        """
        ...


@runtime_checkable
class Aggregator(Protocol):
    """Turns the sites' vectors into one `Sum`: open, add for each site, close; each round anew."""

    @property
    def sees_individual_updates(self) -> bool:
        """Whether the server could read a single site's vector."""
        ...

    @property
    def bytes_moved(self) -> tuple[int, int]:
        """Bytes from and to the sites in the round last closed, without the model's download."""
        ...

    def open(
        self,
        layout: Layout,
        site_ids: Sequence[str],
        *,
        round: int,
        context: bytes,
        individual: bool = False,
    ) -> None:
        """Begin a round; what an unfinished one held is dropped.

        Parameters
        ----------
        layout : Layout
            Of the uploads.
        site_ids : sequence of str
            Sites that may upload, each once.
        round : int
            Number of the round, rising within a run.
        context : bytes
            `veil.secagg.context` of all that reaches the sites' training; empty for an aggregator
            that sees single updates, which has no masks to bind to it.
        individual : bool
            Ask for ``Sum.updates``; an aggregator that does not see them raises ProtocolError.
        """
        ...

    def add(self, site: str, vector: NDArray[Any], weight: float | None) -> None:
        """Take one site's upload.

        Parameters
        ----------
        site : str
            Its id.
        vector : ndarray of shape (size,)
            Its vector; what does not fit the layout or is not finite raises DataError that names
            the site.
        weight : float or None
            Its weight, at least 0; None for all sites or for none.
        """
        ...

    def close(self) -> Sum:
        """End the round.

        Returns
        -------
        Sum
            What the server learns; DataError when nothing, or no weight, was added.
        """
        ...


@runtime_checkable
class Privacy(Protocol):
    """A mechanism in place of plain training: the site's part and the server's part."""

    def check(
        self,
        task: Task,
        strategy: Strategy,
        aggregator: Aggregator,
        sites: Sequence[Site],
        *,
        rounds: int,
    ) -> None:
        """Refuse, before any data is touched, what the guarantee would not cover.

        Parameters
        ----------
        task : Task
            What is trained.
        strategy : Strategy
            How the server steps.
        aggregator : Aggregator
            How uploads are summed.
        sites : sequence of Site
            Who trains.
        rounds : int
            Rounds to be run.
        """
        ...

    def upload_layout(self, layout: Layout) -> Layout:
        """Describe what a site uploads.

        Parameters
        ----------
        layout : Layout
            The model's layout.

        Returns
        -------
        Layout
            The upload's layout.
        """
        ...

    def contribute(self, strategy: Strategy, work: SiteRound) -> Upload:
        """Do a site's part of a round.

        Parameters
        ----------
        strategy : Strategy
            For mechanisms that protect what local training yields.
        work : SiteRound
            What the site has in hand.

        Returns
        -------
        Upload
            With weight None: no count leaves a site.
        """
        ...

    def release(self, total: Sum, *, task: Task, params: Params, rng: SecureGenerator) -> Sum:
        """Do the server's part of a round.

        Parameters
        ----------
        total : Sum
            Of the sites' uploads.
        task : Task
            The task.
        params : dict of str to ndarray
            The model of this round.
        rng : SecureGenerator
            Draws what noise the server adds.

        Returns
        -------
        Sum
            Whose mean is a model change that the strategy may step with.
        """
        ...

    def charge(self, layout: Layout, *, label: str) -> Charge:
        """Return what a ledger is charged: one event, with as many runs as rounds are planned.

        Parameters
        ----------
        layout : Layout
            The model's layout; the slack grows with its size.
        label : str
            Label of the charge.

        Returns
        -------
        Charge
            All rounds; ``charge.of(1)`` is what one round draws.
        """
        ...

    def statement(self, layout: Layout, *, seeded: bool) -> PrivacyStatement:
        """Say everything about the guarantee that a report must.

        Parameters
        ----------
        layout : Layout
            The model's layout.
        seeded : bool
            Whether the draws came from a seed.

        Returns
        -------
        PrivacyStatement
            The claim, its assumptions and its limits.
        """
        ...
