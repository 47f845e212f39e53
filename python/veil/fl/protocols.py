"""The seam of federated learning: Task, Strategy, Aggregator, Privacy, and what passes between.

One round, whoever drives it (`simulate`, an FL engine):

    server   strategy.shared(state)                      down: the model and what the strategy adds
    site     strategy.train(work) -> Upload              or privacy.contribute(strategy, work)
    between  aggregator.open / add / close -> Sum        plain, masked or encrypted
    server   privacy.release(sum), strategy.step(...)    the next model

Everything that crosses the wire is one flat vector described by a `Layout`. Strategies hold no
state of their own: server and site state are plain named arrays that the driver keeps, so a run
can stop and go on at any round boundary and in any process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from veil.fl.layout import Layout
    from veil.fl.sites import Site
    from veil.random import SecureGenerator

__all__ = [
    "Aggregator",
    "GradientCorrection",
    "LocalUpdate",
    "Params",
    "Privacy",
    "PrivateTask",
    "SiteRound",
    "State",
    "Strategy",
    "Sum",
    "Task",
    "Upload",
]

Params = dict[str, NDArray[Any]]
"""A model: named arrays."""
State = Mapping[str, NDArray[Any]]
"""What a strategy keeps between rounds, at the server or at one site: named arrays."""

_NOTHING: State = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class GradientCorrection:
    """What a strategy adds to the gradient of every local step: ``proximal·(w − w₀) + offset``.

    ``w₀`` is the model that the round began with. A record and not a callback, so that a task in
    any framework can apply it.

    Parameters
    ----------
    proximal : float
        Factor of the pull towards the round's model (FedProx's mu), ≥ 0.
    offset : ndarray of shape (size,), or None
        A constant vector in the order of the model's `Layout` (SCAFFOLD's ``c − c_i``).
    """

    proximal: float = 0.0
    offset: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LocalUpdate:
    """What local training yields.

    Parameters
    ----------
    params : dict of str to ndarray
        The model after the last local step; same names, shapes and dtypes as it began with.
    examples : int
        Training rows that the site holds.
    steps : int
        Local steps taken, K.
    learning_rate : float
        Step size of each of them, η.
    """

    params: Params
    examples: int
    steps: int
    learning_rate: float


@runtime_checkable
class Task(Protocol):
    """A model and its data: what to start from, how a site trains, how it is scored."""

    def init(self, rng: SecureGenerator) -> Params:
        """Make the first model from `rng` alone; same stream, same bits."""
        ...

    def local_update(
        self,
        params: Params,
        site: Site,
        *,
        correction: GradientCorrection,
        rng: SecureGenerator,
    ) -> LocalUpdate:
        """Train at one site from `params`, adding `correction` to each step's gradient."""
        ...

    def predict(self, params: Params, x: NDArray[Any]) -> NDArray[np.float64]:
        """Probability of class 1 for each row of `x`, shape (n,)."""
        ...

    def evaluate(self, params: Params, site: Site) -> dict[str, float]:
        """Scores on the site's test rows; NaN where a score is not defined."""
        ...


@runtime_checkable
class PrivateTask(Task, Protocol):
    """A task whose gradients are known per record: what differential privacy needs.

    Attributes
    ----------
    learning_rate : float
        Step size of the private gradient step.
    """

    @property
    def learning_rate(self) -> float:
        """Step size of the private gradient step."""
        ...

    def record_gradients(
        self, params: Params, x: NDArray[Any], y: NDArray[Any]
    ) -> NDArray[np.floating[Any]]:
        """Gradient of each row's loss, shape (n, size) in the order of the model's `Layout`.

        A row's gradient must not depend on the other rows, and holds no penalty term.
        """
        ...

    def penalty_gradient(self, params: Params) -> NDArray[np.floating[Any]]:
        """Gradient of the penalty (for example L2), shape (size,): a function of `params` alone."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class SiteRound:
    """All that a site has in hand in one round.

    Parameters
    ----------
    task : Task
        The task.
    site : Site
        The site's data.
    layout : Layout
        The model's layout.
    vector : ndarray of shape (layout.size,)
        The model as received.
    buffers : dict of str to ndarray
        The model's integer buffers, which no vector carries.
    shared : mapping of str to ndarray
        What `Strategy.shared` sent down beside the model.
    own : mapping of str to ndarray
        What the site kept from its last accepted upload.
    rng : SecureGenerator
        The site's stream of this round.
    """

    task: Task
    site: Site
    layout: Layout
    vector: NDArray[Any]
    buffers: Params
    shared: State
    own: State
    rng: SecureGenerator = field(repr=False)

    @property
    def params(self) -> Params:
        """The model as named arrays, a fresh copy."""
        return self.layout.unflatten(self.vector.copy(), buffers=self.buffers)


@dataclass(frozen=True, slots=True, eq=False)
class Upload:
    """What leaves a site, and what it keeps.

    Parameters
    ----------
    vector : ndarray of shape (size,)
        In the order of `Strategy.upload_layout`.
    weight : float or None
        The weight of `vector` in the sum. None: it enters as it is and no count leaves the site.
    keep : mapping of str to ndarray
        The site's own state for its next round; committed only if the upload was used.
    """

    vector: NDArray[Any] = field(repr=False)
    weight: float | None
    keep: State = field(default_factory=lambda: _NOTHING, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Sum:
    """All that a server learns in one round.

    Parameters
    ----------
    total : ndarray of float64, shape (size,)
        Σ wᵢ·xᵢ over `survivors`, or Σ xᵢ when there are no weights.
    weight : float or None
        Σ wᵢ; None when the uploads carried no weights.
    survivors : tuple of str
        The sites whose upload is in the sum, sorted.
    updates : mapping of str to ndarray, or None
        Each survivor's vector: only when `Aggregator.open` was asked for them.
    """

    total: NDArray[np.float64] = field(repr=False)
    weight: float | None
    survivors: tuple[str, ...]
    updates: Mapping[str, NDArray[Any]] | None = field(default=None, repr=False)

    def mean(self) -> NDArray[np.float64]:
        """Divide the total by the weight, or by the number of survivors without weights.

        Returns
        -------
        ndarray of float64, shape (dim,)
            The mean.
        """
        return self.total / (len(self.survivors) if self.weight is None else self.weight)


@runtime_checkable
class Strategy(Protocol):
    """How sites train in a round, and how the server steps. Holds settings, never state.

    Attributes
    ----------
    needs_individual_updates : bool
        True when `step` reads ``Sum.updates`` (medians, Krum): refused over secure aggregation.
    needs_mean_only : bool
        True when `step` uses nothing but the mean model change and sites train plainly; then a
        privacy mechanism may put a private mean in its place.
    """

    @property
    def needs_individual_updates(self) -> bool:
        """Whether `step` reads single updates."""
        ...

    @property
    def needs_mean_only(self) -> bool:
        """Whether a mean model change from any source will do."""
        ...

    def server_state(self, layout: Layout, site_ids: Sequence[str]) -> State:
        """State of the server before the first round."""
        ...

    def site_state(self, layout: Layout) -> State:
        """State of a site before its first round."""
        ...

    def upload_layout(self, layout: Layout) -> Layout:
        """Describe what a site uploads, for a model of `layout`."""
        ...

    def shared(self, state: State) -> State:
        """Select what goes down to every site beside the model."""
        ...

    def train(self, work: SiteRound) -> Upload:
        """Do a site's part of a round."""
        ...

    def step(self, vector: NDArray[Any], state: State, total: Sum) -> tuple[NDArray[Any], State]:
        """Next model (dtype of `vector`) and next server state; arguments stay unchanged."""
        ...


@runtime_checkable
class Aggregator(Protocol):
    """Turns the sites' vectors into one `Sum`; one round is open, add for each site, close.

    Attributes
    ----------
    sees_individual_updates : bool
        Whether the server could read a single site's vector.
    """

    @property
    def sees_individual_updates(self) -> bool:
        """Whether the server could read a single site's vector."""
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
        """Begin round number `round`; `context` is the digest of the model all sites start from.

        `individual` asks for ``Sum.updates``; an aggregator that does not see them refuses with
        ProtocolError.
        """
        ...

    def add(self, site: str, vector: NDArray[Any], weight: float | None) -> None:
        """Take one site's upload; refuse with DataError, naming the site, what does not fit."""
        ...

    def close(self) -> Sum:
        """End the round."""
        ...


@runtime_checkable
class Privacy(Protocol):
    """A mechanism in place of plain training: the site's part and the server's part."""

    def check(
        self, task: Task, strategy: Strategy, aggregator: Aggregator, sites: Sequence[Site]
    ) -> None:
        """Refuse, before any data is touched, what the guarantee would not cover."""
        ...

    def upload_layout(self, strategy: Strategy, layout: Layout) -> Layout:
        """Describe what a site uploads, for a model of `layout`."""
        ...

    def contribute(self, strategy: Strategy, work: SiteRound) -> Upload:
        """Do a site's part of a round; the weight is None, for no count may leave the site."""
        ...

    def release(
        self,
        total: Sum,
        *,
        task: Task,
        params: Params,
        rng: SecureGenerator,
    ) -> Sum:
        """Turn the aggregate into a mean model change that the strategy may step with."""
        ...

    def statement(self, *, rounds: int, seeded: bool) -> Any:
        """Everything a report must say about the guarantee; a record with ``to_dict``."""
        ...
