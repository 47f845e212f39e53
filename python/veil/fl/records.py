"""What passes between the parties of a round: plain records of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from veil.fl._packing import pack, unpack

if TYPE_CHECKING:
    from veil.fl.layout import Layout
    from veil.fl.protocols import Task
    from veil.fl.sites import Site
    from veil.random import SecureGenerator

__all__ = ["GradientCorrection", "LocalUpdate", "Params", "SiteRound", "State", "Sum", "Upload"]

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
    vector: NDArray[Any] = field(repr=False)
    buffers: Params = field(repr=False)
    shared: State = field(repr=False)
    own: State = field(repr=False)
    rng: SecureGenerator = field(repr=False)

    @property
    def params(self) -> Params:
        """The model as named arrays, a fresh copy."""
        model: Params = self.layout.unflatten(self.vector.copy(), buffers=self.buffers)
        return model


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
        ndarray of float64, shape (size,)
            The mean.
        """
        return self.total / (len(self.survivors) if self.weight is None else self.weight)

    def to_dict(self) -> dict[str, Any]:
        """Return the sum as JSON types, arrays in base64 to the last bit.

        Returns
        -------
        dict
            The fields by name.
        """
        kept = self.updates
        return {
            "total": pack(self.total),
            "weight": self.weight,
            "survivors": list(self.survivors),
            "updates": None if kept is None else {site: pack(v) for site, v in kept.items()},
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Sum:
        """Read what `to_dict` returned.

        Parameters
        ----------
        fields : mapping
            As from `to_dict`.

        Returns
        -------
        Sum
            The same sum.
        """
        kept = fields["updates"]
        return cls(
            total=unpack(fields["total"]),
            weight=fields["weight"],
            survivors=tuple(fields["survivors"]),
            updates=None if kept is None else {site: unpack(v) for site, v in kept.items()},
        )
