"""SCAFFOLD with control variates, option II (Karimireddy et al. 2020, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veil.fl import _checks
from veil.fl.layout import Layout
from veil.fl.records import GradientCorrection, SiteRound, State, Sum, Upload
from veil.fl.strategies._local import moved, train_locally

__all__ = ["Scaffold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaffold:
    """Correct each site's drift by ``c − cᵢ``, the difference of control variates.

    Every local step is ``y ← y − η(g(y) + c − cᵢ)``; afterwards (option II)
    ``cᵢ⁺ = cᵢ − c + (x − y)/(Kη)``; the server moves x by the mean of ``y − x`` and c by the mean
    of ``cᵢ⁺ − cᵢ`` times the share of sites that took part. Sites count equally, as in the paper,
    so no example count leaves a site.

    Parameters
    ----------
    learning_rate : float
        Server step size η_g.

    Raises
    ------
    ValueError
        If `learning_rate` is not a finite number above zero.

    Notes
    -----
    Uploads and downloads are twice FedAvg's. A site commits its variate only when its upload was
    used, so that c stays the mean of all cᵢ whoever drops out.

    References
    ----------
    Karimireddy et al. 2020, SCAFFOLD: stochastic controlled averaging, arXiv 1910.06378,
    Algorithm 1.
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
        """False: sites correct their local steps and upload their variates too."""
        return False

    def server_state(self, layout: Layout, site_ids: Sequence[str]) -> State:
        """Return c = 0 and the number of sites.

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
        return {"variate": np.zeros(layout.size), "sites": np.array(len(site_ids))}

    def site_state(self, layout: Layout) -> State:
        """Return cᵢ = 0.

        Parameters
        ----------
        layout : Layout
            The model's layout.

        Returns
        -------
        mapping of str to ndarray
            The state.
        """
        return {"variate": np.zeros(layout.size)}

    def upload_layout(self, layout: Layout) -> Layout:
        """Return the layout of an upload: the model's change, then the variate's.

        Parameters
        ----------
        layout : Layout
            The model's layout.

        Returns
        -------
        Layout
            The upload's layout.
        """
        return Layout(layout.prefixed("delta/") + layout.prefixed("variate/"))

    def shared(self, layout: Layout, state: State) -> State:
        """Return c, which goes down beside the model.

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
        return {"variate": state["variate"].astype(layout.dtype)}

    def train(self, work: SiteRound) -> Upload:
        """Train with the corrected gradient; upload both changes, keep the new variate.

        Parameters
        ----------
        work : SiteRound
            What the site has in hand.

        Returns
        -------
        Upload
            What leaves the site, and what it keeps.
        """
        own, shared = work.own["variate"], work.shared["variate"]
        update, delta = train_locally(work, GradientCorrection(offset=shared - own))
        change = -shared - delta / (update.steps * update.learning_rate)
        vector = np.concatenate([delta, change]).astype(work.vector.dtype)
        # What is kept is what was sent, rounding included: c remains the mean of all variates.
        return Upload(vector, None, {"variate": own + vector[len(delta) :]})

    def step(self, vector: NDArray[Any], state: State, total: Sum) -> tuple[NDArray[Any], State]:
        """Move the model by the mean change, and c by the variates' changes over all sites.

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
        delta, change = np.split(total.mean(), 2)
        share = len(total.survivors) / int(state["sites"])
        after = {"variate": state["variate"] + share * change, "sites": state["sites"]}
        return moved(vector, self.learning_rate * delta), after
