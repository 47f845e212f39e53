"""What a mechanism gives: the noisy value and everything that qualifies it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from veil.dp.events import Event

__all__ = ["Release"]

COMPUTATIONAL = (
    "computational: noise comes from AES-256 keystreams, so the guarantee holds against whoever "
    "cannot tell them from random bits"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A noisy value, and what must be said with it.

    Parameters
    ----------
    value : float, int, ndarray or tensor
        The released value; float values are multiples of `granularity`, integers are whole.
    mechanism : str
        Which noise.
    granularity : float or None
        Lattice of the noise, a power of two in the unit of `value`; None for a choice.
    sensitivity : float
        As given, in the unit of `value`, under `relation`.
    widened_sensitivity : float
        What was charged: with the widening by rounding to the lattice.
    sigma : float
        Scale of the noise in the unit of `value`: the standard deviation of Gaussian noise, the b
        of Laplace noise (density exp(-|x| / b) / (2 b)).
    event : Event
        What the ledger was charged.
    slack : float
        Total-variation distance of all draws from what the event says; also charged.
    exact_from : {"input", "sum"}
        ``"input"``: the guarantee holds for the data as given. ``"sum"``: from the value that was
        handed to the mechanism on; the float arithmetic before it is taken as real arithmetic.
        It follows from the call, never from the type of the value.
    unit : str
        Whose contribution is protected.
    relation : str
        Which data sets are neighbours.
    seeded : bool
        True if the noise came from a seeded generator: then it protects nobody.
    error : float, ndarray or None
        Half-width of the interval that holds the noiseless value with probability 95 %, by the
        noise alone; in ranks for quantiles.
    labels : tuple or None
        What the entries of `value` are: bin edges, categories or quantiles.
    trusted : str
        Who sees the data without noise.
    public : tuple of str
        What the guarantee treats as public.
    guarantee : str
        Its kind.
    """

    value: Any
    mechanism: str
    granularity: float | None
    sensitivity: float
    widened_sensitivity: float
    sigma: float
    event: Event
    slack: float
    exact_from: str
    unit: str
    relation: str
    seeded: bool
    error: Any = None
    labels: tuple[Any, ...] | None = None
    trusted: str = "site: whoever runs this code sees the data"
    public: tuple[str, ...] = ("shape and type of the value", "the mechanism's parameters")
    guarantee: str = COMPUTATIONAL

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields; arrays and tensors become nested lists."""
        return {
            **{f.name: getattr(self, f.name) for f in fields(self)},
            "value": _plain(self.value),
            "error": _plain(self.error),
            "event": self.event.to_dict(),
            "public": list(self.public),
            "labels": None if self.labels is None else list(self.labels),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Release":
        """Read what `to_dict` wrote; nested lists become arrays."""
        return cls(
            **{
                **values,
                "value": _array(values["value"]),
                "error": _array(values["error"]),
                "event": Event.from_dict(values["event"]),
                "public": tuple(values["public"]),
                "labels": None if values["labels"] is None else tuple(values["labels"]),
            }
        )

    def statement(self) -> str:
        """Say in words what was released and what protects it.

        Returns
        -------
        str
            A paragraph.
        """
        lattice = (
            "a choice among candidates"
            if self.granularity is None
            else f"noise of scale {self.sigma:.6g} on a lattice of {self.granularity:g}"
        )
        seeded = " The noise was SEEDED, for simulation: it protects nobody." if self.seeded else ""
        return (
            f"{self.mechanism}: {lattice}; sensitivity {self.sensitivity:.6g} (with rounding "
            f"{self.widened_sensitivity:.6g}) per {self.unit} under {self.relation}; slack "
            f"{self.slack:.3g}; exact from the {self.exact_from}. Trusted: {self.trusted}. Public: "
            f"{', '.join(self.public)}. Guarantee: {self.guarantee}.{seeded}"
        )


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return value.tolist() if hasattr(value, "tolist") else value


def _array(value: Any) -> Any:
    return np.array(value) if isinstance(value, list) else value


def half_width_gaussian(sigma: float) -> float:
    """Return the half-width that Gaussian noise stays within with probability 95 %."""
    return 1.959963984540054 * sigma


def half_width_laplace(scale: float) -> float:
    """Return the half-width that Laplace noise stays within with probability 95 %."""
    return scale * math.log(20.0)
