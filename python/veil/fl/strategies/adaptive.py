"""FedAdagrad, FedAdam and FedYogi: adaptive server steps (Reddi et al. 2021, Algorithm 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veil.fl import _checks
from veil.fl.layout import Layout
from veil.fl.records import State, Sum
from veil.fl.strategies._local import moved
from veil.fl.strategies.averaging import FedAvg

__all__ = ["FedAdagrad", "FedAdam", "FedYogi"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Adaptive(FedAvg):
    """Step by moments: m ← β₁m + (1−β₁)Δ; v by the family's rule; x ← x + η·m/(√v + τ).

    v starts at τ²; there is no bias correction.
    """

    learning_rate: float = 0.1
    beta1: float = 0.9
    tau: float = 1e-3

    def __post_init__(self) -> None:
        _checks.positive("learning_rate", self.learning_rate)
        _checks.fraction("beta1", self.beta1)
        _checks.positive("tau", self.tau)

    def server_state(self, layout: Layout, site_ids: Sequence[str]) -> State:
        """Return the moments before the first round: m = 0, v = τ².

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
        return {"m": np.zeros(layout.size), "v": np.full(layout.size, self.tau**2)}

    def step(self, vector: NDArray[Any], state: State, total: Sum) -> tuple[NDArray[Any], State]:
        """Update the moments with the mean change and step.

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
        delta = total.mean()
        m = self.beta1 * state["m"] + (1 - self.beta1) * delta
        v = self._second_moment(state["v"], np.square(delta))
        step = self.learning_rate * m / (np.sqrt(v) + self.tau)
        return moved(vector, step), {"m": m, "v": v}

    def _second_moment(
        self, v: NDArray[np.float64], square: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class FedAdagrad(_Adaptive):
    """Adagrad as the server's step: v ← v + Δ².

    Parameters
    ----------
    learning_rate : float
        Server step size η.
    beta1 : float
        Momentum β₁ in [0, 1); 0 as in the paper's experiments.
    tau : float
        Adaptivity τ: the smaller, the more adaptive; v starts at τ².

    Raises
    ------
    ValueError
        If a setting is out of range.

    References
    ----------
    Reddi et al. 2021, Adaptive federated optimization, arXiv 2003.00295, Algorithm 2.
    """

    beta1: float = 0.0

    def _second_moment(
        self, v: NDArray[np.float64], square: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return v + square


@dataclass(frozen=True, slots=True, kw_only=True)
class FedAdam(_Adaptive):
    """Adam as the server's step: v ← β₂v + (1−β₂)Δ², without bias correction.

    Parameters
    ----------
    learning_rate : float
        Server step size η.
    beta1 : float
        Momentum β₁ in [0, 1).
    tau : float
        Adaptivity τ: the smaller, the more adaptive; v starts at τ².
    beta2 : float
        Memory β₂ of the second moment, in [0, 1).

    Raises
    ------
    ValueError
        If a setting is out of range.

    References
    ----------
    Reddi et al. 2021, Adaptive federated optimization, arXiv 2003.00295, Algorithm 2.
    """

    beta2: float = 0.99

    def __post_init__(self) -> None:
        _Adaptive.__post_init__(self)
        _checks.fraction("beta2", self.beta2)

    def _second_moment(
        self, v: NDArray[np.float64], square: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return self.beta2 * v + (1 - self.beta2) * square


@dataclass(frozen=True, slots=True, kw_only=True)
class FedYogi(FedAdam):
    """Yogi as the server's step: v ← v − (1−β₂)Δ²·sign(v − Δ²).

    Parameters
    ----------
    learning_rate : float
        Server step size η.
    beta1 : float
        Momentum β₁ in [0, 1).
    tau : float
        Adaptivity τ: the smaller, the more adaptive; v starts at τ².
    beta2 : float
        Memory β₂ of the second moment, in [0, 1).

    Raises
    ------
    ValueError
        If a setting is out of range.

    References
    ----------
    Reddi et al. 2021, Adaptive federated optimization, arXiv 2003.00295, Algorithm 2.
    """

    def _second_moment(
        self, v: NDArray[np.float64], square: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        moment: NDArray[np.float64] = v - (1 - self.beta2) * square * np.sign(v - square)
        return moment
