"""Networks in PyTorch with one logit: a base for any module, a small MLP, a small image CNN."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from veil._checks import whole
from veil._optional import require
from veil.errors import DataError, UnsupportedLayer
from veil.fl import _checks
from veil.fl.layout import Layout
from veil.fl.metrics import binary_scores
from veil.fl.records import GradientCorrection, LocalUpdate, Params
from veil.fl.sites import Site
from veil.fl.tasks._batches import minibatches

if TYPE_CHECKING:
    from veil.random import SecureGenerator

__all__ = ["MLP", "ImageCNN", "TorchTask"]

_PREDICT_ROWS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchTask:
    """Any PyTorch module with one logit per row, trained by SGD on binary cross-entropy.

    Subclass it and write `build`; see `MLP`.

    Parameters
    ----------
    learning_rate : float
        Step size of a local step, and of a private gradient step.
    epochs : int
        Passes over the site's rows in a round.
    batch_size : int or None
        Rows per local step; None takes all of them, one step per epoch.
    l2 : float
        Penalty ``l2/2·‖w‖²`` on arrays of two or more dimensions (weights, not biases).

    Raises
    ------
    ValueError
        If a setting is out of range.
    ImportError
        If torch is not installed: only when the task is used.

    Notes
    -----
    Runs on the CPU, in float32, on one thread: torch's sums depend on its number of threads, and
    one seed must give the same bits. No generator of torch's is used.
    """

    learning_rate: float
    epochs: int
    batch_size: int | None
    l2: float = 0.0

    def __post_init__(self) -> None:
        _checks.positive("learning_rate", self.learning_rate)
        _checks.fix_counts(self, "epochs")
        if self.batch_size is not None:
            _checks.fix_counts(self, "batch_size")
        _checks.not_negative("l2", self.l2)

    def build(self) -> Any:
        """Make the module; its initial values do not matter.

        Returns
        -------
        torch.nn.Module
            Maps (n, ...) rows to (n, 1) logits; without buffers, each row on its own.
        """
        raise NotImplementedError("build: write it in a subclass of TorchTask")

    def init(self, rng: SecureGenerator) -> Params:
        """Draw He-normal weights, zero biases, unit scales of normalisation layers.

        Parameters
        ----------
        rng : SecureGenerator
            Draws the weights.

        Returns
        -------
        dict of str to ndarray of float32
            The model.

        Raises
        ------
        UnsupportedLayer
            If the module has buffers, as BatchNorm does: a row's gradient would depend on others.

        References
        ----------
        He et al. 2015, arXiv 1502.01852.
        """
        module = self.build()
        buffers = [name for name, _ in module.named_buffers()]
        if buffers:
            raise UnsupportedLayer(
                f"{buffers[0]}: expected a module without buffers; replace BatchNorm by GroupNorm"
            )
        return {name: _initial(name, p, rng) for name, p in module.named_parameters()}

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
        """
        torch = require("torch", "torch")
        module, layout = self.build(), Layout.of(params)
        offset: Params = {}
        if correction.offset is not None:
            offset = layout.unflatten(correction.offset.astype(layout.dtype))
        x, y = self._rows(site.x), torch.from_numpy(site.y.astype(np.float32))
        start = {name: torch.from_numpy(array) for name, array in params.items()}
        weights = {name: tensor.clone().requires_grad_() for name, tensor in start.items()}
        steps = 0
        with _one_thread(torch):
            for rows in minibatches(len(x), self.batch_size, self.epochs, rng):
                loss = _loss(module, weights, x[rows], y[rows]) + self._penalty(weights)
                gradients = torch.autograd.grad(loss, list(weights.values()))
                with torch.no_grad():
                    for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
                        step = gradient + correction.proximal * (weight - start[name])
                        if name in offset:
                            step += torch.from_numpy(offset[name])
                        weight -= self.learning_rate * step
                steps += 1
        trained = {name: weight.detach().numpy() for name, weight in weights.items()}
        return LocalUpdate(trained, len(x), steps, self.learning_rate)

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
        torch = require("torch", "torch")
        module, rows = self.build(), self._rows(x)
        weights = {name: torch.from_numpy(array) for name, array in params.items()}
        logits = np.empty(len(x), np.float64)
        with torch.no_grad(), _one_thread(torch):
            for start in range(0, len(x), _PREDICT_ROWS):
                part = slice(start, start + _PREDICT_ROWS)
                logits[part] = _logits(module, weights, rows[part]).double().numpy()
        return np.exp(-np.logaddexp(0.0, -logits))

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
    ) -> NDArray[np.float32]:
        """Return the gradient of each row's loss, without the penalty.

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
        ndarray of float32, shape (n, size)
            In the order of the model's layout.

        Notes
        -----
        ``torch.func.vmap(grad)``: n copies of the model's size in memory.
        """
        torch = require("torch", "torch")
        module, layout = self.build(), Layout.of(params)
        weights = {name: torch.from_numpy(array) for name, array in params.items()}

        def loss(weights: Any, row: Any, target: Any) -> Any:
            return _loss(module, weights, row[None], target[None])

        each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
        with _one_thread(torch):
            gradients = each(weights, self._rows(x), torch.from_numpy(y.astype(np.float32)))
            flat = [gradients[name].reshape(len(x), -1) for name in layout.names]
            joined: NDArray[np.float32] = torch.cat(flat, dim=1).numpy()
        return joined

    def penalty_gradient(self, params: Params) -> NDArray[np.float32]:
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
        gradient: NDArray[np.float32] = Layout.of(params).flatten(
            {name: p * np.float32(self.l2 if p.ndim > 1 else 0) for name, p in params.items()}
        )
        return gradient

    def _rows(self, x: NDArray[Any]) -> Any:
        return require("torch", "torch").from_numpy(np.ascontiguousarray(x, np.float32))

    def _penalty(self, weights: dict[str, Any]) -> Any:
        if self.l2 == 0:
            return 0.0
        return self.l2 / 2 * sum(w.square().sum() for w in weights.values() if w.ndim > 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class MLP(TorchTask):
    """A perceptron with hidden layers and ReLU.

    Parameters
    ----------
    learning_rate : float
        Step size.
    epochs : int
        Passes over the site's rows in a round.
    batch_size : int or None
        Rows per local step; None takes all of them.
    l2 : float
        Penalty on weights, as in `TorchTask`.
    features : int
        Number of columns of the sites' rows.
    hidden : tuple of int
        Width of each hidden layer.

    Raises
    ------
    ValueError
        If a setting is out of range.
    """

    features: int
    hidden: tuple[int, ...]

    def __post_init__(self) -> None:
        TorchTask.__post_init__(self)
        _checks.fix_counts(self, "features")
        hidden = tuple(_checks.count("hidden", width) for width in self.hidden)
        object.__setattr__(self, "hidden", hidden)

    def build(self) -> Any:
        """Make the module.

        Returns
        -------
        torch.nn.Sequential
            Linear layers with ReLU between them.
        """
        nn = require("torch.nn", "torch")
        layers: list[Any] = []
        width = self.features
        for following in self.hidden:
            layers += [nn.Linear(width, following), nn.ReLU()]
            width = following
        return nn.Sequential(*layers, nn.Linear(width, 1))

    def _rows(self, x: NDArray[Any]) -> Any:
        if x.ndim != 2 or x.shape[1] != self.features:
            raise DataError(f"x: expected shape (n, {self.features}), got {x.shape}")
        return TorchTask._rows(self, x)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCNN(TorchTask):
    """A small CNN: two 3x3 convolutions of 16 and 32 channels with GroupNorm, ReLU and pooling.

    Parameters
    ----------
    learning_rate : float
        Step size.
    epochs : int
        Passes over the site's rows in a round.
    batch_size : int or None
        Rows per local step; None takes all of them.
    l2 : float
        Penalty on weights, as in `TorchTask`.
    channels : int
        Channels of an image; rows of shape (height, width) count as one channel.
    size : tuple of int
        Height and width in pixels, each at least 4.

    Raises
    ------
    ValueError
        If a setting is out of range.

    Notes
    -----
    GroupNorm and not BatchNorm: a row's gradient must not depend on other rows.
    """

    channels: int
    size: tuple[int, int]

    def __post_init__(self) -> None:
        TorchTask.__post_init__(self)
        _checks.fix_counts(self, "channels")
        object.__setattr__(self, "size", tuple(whole("size", side) for side in self.size))
        if len(self.size) != 2 or min(self.size) < 4:
            raise ValueError(f"size: expected (height, width), each >= 4, got {self.size!r}")

    def build(self) -> Any:
        """Make the module.

        Returns
        -------
        torch.nn.Sequential
            Two blocks of convolution, GroupNorm, ReLU and pooling, and a linear layer.
        """
        nn = require("torch.nn", "torch")
        layers: list[Any] = []
        width = self.channels
        for following in (16, 32):
            layers += [
                nn.Conv2d(width, following, 3, padding=1),
                nn.GroupNorm(4, following),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            width = following
        pixels = (self.size[0] // 4) * (self.size[1] // 4)
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * pixels, 1))

    def _rows(self, x: NDArray[Any]) -> Any:
        images = x[:, None] if x.ndim == 3 else x
        if images.shape[1:] != (self.channels, *self.size):
            raise DataError(
                f"x: expected shape (n, {self.channels}, {self.size[0]}, {self.size[1]}), "
                f"got {x.shape}"
            )
        return TorchTask._rows(self, images)


def _initial(name: str, parameter: Any, rng: SecureGenerator) -> NDArray[np.float32]:
    shape = tuple(parameter.shape)
    if len(shape) < 2:
        return np.full(shape, 1.0 if name.endswith("weight") else 0.0, np.float32)
    fan_in = int(np.prod(shape[1:]))
    drawn: NDArray[np.float32] = rng.normal(shape, dtype=np.float32, scale=(2 / fan_in) ** 0.5)
    return drawn


def _logits(module: Any, weights: dict[str, Any], x: Any) -> Any:
    return require("torch", "torch").func.functional_call(module, weights, (x,)).squeeze(-1)


def _loss(module: Any, weights: dict[str, Any], x: Any, y: Any) -> Any:
    functional = require("torch.nn.functional", "torch")
    return functional.binary_cross_entropy_with_logits(_logits(module, weights, x), y)


@contextlib.contextmanager
def _one_thread(torch: Any) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
