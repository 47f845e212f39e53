"""Logistic regression in NumPy: gradients, also per record, in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from veil.errors import DataError
from veil.fl import _checks
from veil.fl.metrics import binary_scores
from veil.fl.records import GradientCorrection, LocalUpdate, Params
from veil.fl.sites import Site
from veil.fl.tasks._batches import minibatches

if TYPE_CHECKING:
    from veil.random import SecureGenerator

__all__ = ["LogisticRegression"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticRegression:
    """Binary logistic regression, trained by gradient steps on the mean log loss.

    The model is ``{"bias": (1,), "weights": (features,)}`` in float64, zero at the start.

    Parameters
    ----------
    features : int
        Number of columns of the sites' rows.
    learning_rate : float
        Step size of a local step, and of a private gradient step.
    epochs : int
        Passes over the site's rows in a round.
    batch_size : int or None
        Rows per local step; None takes all of them, one step per epoch.
    l2 : float
        Penalty ``l2/2·‖weights‖²``; the bias is not penalised.

    Raises
    ------
    ValueError
        If a setting is out of range.

    Notes
    -----
    Sums are NumPy's own loops and not BLAS, whose result may depend on its number of threads:
    one seed gives the same bits whatever the threads. Between CPU models the last bit of NumPy's
    ``exp`` may differ.

    Examples
    --------
    >>> from veil.fl.tasks import LogisticRegression
    >>> task = LogisticRegression(features=1, learning_rate=1.0, epochs=1, batch_size=None)
    >>> task.predict({"bias": np.zeros(1), "weights": np.ones(1)}, np.array([[0.0]]))
    array([0.5])
    """

    features: int
    learning_rate: float
    epochs: int
    batch_size: int | None
    l2: float = 0.0

    def __post_init__(self) -> None:
        _checks.fix_counts(self, "features", "epochs")
        if self.batch_size is not None:
            _checks.fix_counts(self, "batch_size")
        _checks.positive("learning_rate", self.learning_rate)
        _checks.not_negative("l2", self.l2)

    def init(self, rng: SecureGenerator) -> Params:
        """Return the zero model; nothing is drawn.

        Parameters
        ----------
        rng : SecureGenerator
            Not used.

        Returns
        -------
        dict of str to ndarray
            The model.
        """
        return {"bias": np.zeros(1), "weights": np.zeros(self.features)}

    def local_update(
        self,
        params: Params,
        site: Site,
        *,
        correction: GradientCorrection,
        rng: SecureGenerator,
    ) -> LocalUpdate:
        """Train at one site by minibatch gradient steps.

        Parameters
        ----------
        params : dict of str to ndarray
            The model to start from; not changed.
        site : Site
            The data.
        correction : GradientCorrection
            Added to every step's gradient.
        rng : SecureGenerator
            Draws the minibatches.

        Returns
        -------
        LocalUpdate
            The trained model.

        Raises
        ------
        DataError
            If the site's rows do not have `features` columns.
        """
        start = _vector(params)
        vector = start.copy()
        x = self._rows(site.x)
        target = site.y.astype(np.float64)
        steps = 0
        for rows in minibatches(len(x), self.batch_size, self.epochs, rng):
            gradient = self._mean_gradient(vector, x[rows], target[rows])
            gradient += self._penalty(vector) + correction.proximal * (vector - start)
            if correction.offset is not None:
                gradient += correction.offset
            vector -= self.learning_rate * gradient
            steps += 1
        return LocalUpdate(_params(vector), len(x), steps, self.learning_rate)

    def predict(self, params: Params, x: NDArray[Any]) -> NDArray[np.float64]:
        """Return the probability of class 1 for each row.

        Parameters
        ----------
        params : dict of str to ndarray
            The model.
        x : ndarray of float, shape (n, features)
            Rows.

        Returns
        -------
        ndarray of float64, shape (n,)
            Probabilities.

        Raises
        ------
        DataError
            If `x` does not have `features` columns.
        """
        return _sigmoid(_logits(_vector(params), self._rows(x)))

    def evaluate(self, params: Params, site: Site) -> dict[str, float]:
        """Return AUROC, accuracy and Brier score on the site's test rows.

        Parameters
        ----------
        params : dict of str to ndarray
            The model.
        site : Site
            The site's data.

        Returns
        -------
        dict of str to float
            ``auroc``, ``accuracy`` and ``brier``; NaN where a score is not defined.
        """
        return binary_scores(site.y_test, self.predict(params, site.x_test))

    def record_gradients(
        self, params: Params, x: NDArray[Any], y: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Return the gradient of each row's log loss, without the penalty.

        Parameters
        ----------
        params : dict of str to ndarray
            The model.
        x : ndarray of float, shape (n, features)
            Rows.
        y : ndarray of 0 and 1, shape (n,)
            Targets.

        Returns
        -------
        ndarray of float64, shape (n, features + 1)
            ``(p − y)·(1, x)``: bias first.
        """
        rows = self._rows(x)
        residual = _sigmoid(_logits(_vector(params), rows)) - y
        return np.concatenate([residual[:, None], residual[:, None] * rows], axis=1)

    def penalty_gradient(self, params: Params) -> NDArray[np.float64]:
        """Return the gradient of the L2 penalty, a function of the model alone.

        Parameters
        ----------
        params : dict of str to ndarray
            The model.

        Returns
        -------
        ndarray of float, shape (size,)
            In the order of the model's layout.
        """
        return self._penalty(_vector(params))

    def _penalty(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        gradient = self.l2 * vector
        gradient[0] = 0.0
        return gradient

    def _mean_gradient(
        self, vector: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        residual = (_sigmoid(_logits(vector, x)) - y) / len(x)
        gradient = np.empty_like(vector)
        gradient[0] = residual.sum()
        np.einsum("n,nd->d", residual, x, out=gradient[1:])
        return gradient

    def _rows(self, x: NDArray[Any]) -> NDArray[np.float64]:
        if x.ndim != 2 or x.shape[1] != self.features:
            raise DataError(f"x: expected shape (n, {self.features}), got {x.shape}")
        return x.astype(np.float64, copy=False)


def _vector(params: Params) -> NDArray[np.float64]:
    return np.concatenate([params["bias"], params["weights"]])


def _params(vector: NDArray[np.float64]) -> Params:
    return {"bias": vector[:1], "weights": vector[1:]}


def _logits(vector: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    logits: NDArray[np.float64] = np.einsum("nd,d->n", x, vector[1:]) + vector[0]
    return logits


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """1/(1 + e^-t) from e^-|t|, which cannot overflow."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, small) / (1.0 + small)
