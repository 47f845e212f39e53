"""FedAvg (McMahan et al. 2017, arXiv 1602.05629) and FedProx (Li et al. 2020, arXiv 1812.06127)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from veil.fl import _checks
from veil.fl.layout import Layout
from veil.fl.records import GradientCorrection, SiteRound, State, Sum, Upload
from veil.fl.strategies._local import moved, train_locally

__all__ = ["FedAvg", "FedProx"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FedAvg:
    """Average the sites' model changes, weighted by their training rows.

    Parameters
    ----------
    learning_rate : float
        Server step size: 1 sets the model to the average of the sites' models.

    Raises
    ------
    ValueError
        If `learning_rate` is not a finite number above zero.

    Notes
    -----
    Sites send the change of the model, not the model: changes are small, so that clipping and a
    fixed-point codec spend their bits on what is new.

    References
    ----------
    McMahan et al. 2017, Communication-efficient learning of deep networks, arXiv 1602.05629,
    Algorithm 1; server step size as in Reddi et al. 2021, arXiv 2003.00295.
    """

    learning_rate: float = 1.0

    def __post_init__(self) -> None:
        _checks.positive("learning_rate", self.learning_rate)

    @property
    def needs_individual_updates(self) -> bool:
        """False: the step reads the sum alone."""
        return False

    @property
    def needs_mean_only(self) -> bool:
        """True: any mean model change will do."""
        return True

    def server_state(self, layout: Layout, site_ids: Sequence[str]) -> State:
        """Return the state before the first round: none.

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
        return {}

    def site_state(self, layout: Layout) -> State:
        """Return a site's state before its first round: none.

        Parameters
        ----------
        layout : Layout
            The model's layout.

        Returns
        -------
        mapping of str to ndarray
            The state.
        """
        return {}

    def upload_layout(self, layout: Layout) -> Layout:
        """Return the layout of an upload: the change of each floating-point array.

        Parameters
        ----------
        layout : Layout
            The model's layout.

        Returns
        -------
        Layout
            The upload's layout.
        """
        return Layout(layout.prefixed("delta/"))

    def shared(self, layout: Layout, state: State) -> State:
        """Return what goes down beside the model: nothing.

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
        return {}

    def train(self, work: SiteRound) -> Upload:
        """Train plainly; upload the model's change, weighted by training rows.

        Parameters
        ----------
        work : SiteRound
            What the site has in hand.

        Returns
        -------
        Upload
            What leaves the site, and what it keeps.
        """
        update, delta = train_locally(work, self._correction())
        return Upload(delta.astype(work.vector.dtype), float(update.examples))

    def step(self, vector: NDArray[Any], state: State, total: Sum) -> tuple[NDArray[Any], State]:
        """Move the model by the mean change times the server's step size.

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
            The next model and state.
        """
        return moved(vector, self.learning_rate * total.mean()), state

    def _correction(self) -> GradientCorrection:
        return GradientCorrection()


@dataclass(frozen=True, slots=True, kw_only=True)
class FedProx(FedAvg):
    """FedAvg whose sites are pulled towards the round's model by ``mu/2·‖w − w₀‖²``.

    Parameters
    ----------
    mu : float
        Strength of the pull, ≥ 0; 0 is FedAvg.
    learning_rate : float
        Server step size.

    Raises
    ------
    ValueError
        If `mu` is negative or not finite, or `learning_rate` not above zero.

    References
    ----------
    Li et al. 2020, Federated optimization in heterogeneous networks, arXiv 1812.06127,
    Algorithm 2.
    """

    mu: float

    def __post_init__(self) -> None:
        _checks.positive("learning_rate", self.learning_rate)
        _checks.not_negative("mu", self.mu)

    @property
    def needs_mean_only(self) -> bool:
        """False: the pull acts inside the sites' local steps."""
        return False

    def _correction(self) -> GradientCorrection:
        return GradientCorrection(proximal=self.mu)
