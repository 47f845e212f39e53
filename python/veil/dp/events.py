"""What a ledger is charged with: events as data, without mathematics.

An event records what was sampled, not what some accountant makes of it; `accounting` translates it
for each accountant and relation. `sensitivity` is always the one under the ledger's relation: for a
sum of values clipped to norm C it is C under add-or-remove-one and zero-out, 2C under replace-one.
Poisson sampling under replace-one needs C itself, as `clip`: who is not drawn adds 0, so that the
two values' distances from 0 count, not theirs alone (docs/design/accounting.md).
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from veil._checks import real, whole

__all__ = [
    "RELATIONS",
    "Event",
    "check_count",
    "check_delta",
    "check_positive",
    "check_relation",
    "fix_positive",
]

RELATIONS = ("add-or-remove-one", "replace-one", "zero-out")
# Beyond any use; within them squares of ratios are finite and above 0.
_LEAST, _MOST = 2.0**-250, 2.0**250
# Beyond these the square of sensitivity / sigma, times any count, is no normal double.
_MOST_RATIO = 2.0**400
_MOST_COUNT = 2**63 - 1
KINDS = ("gaussian", "discrete-gaussian", "discrete-laplace", "pure", "skellam")


def check_relation(relation: str) -> str:
    """Return `relation`, or raise ValueError if it is not one of `RELATIONS`."""
    if relation not in RELATIONS:
        raise ValueError(f"relation: expected one of {', '.join(RELATIONS)}; got {relation!r}")
    return relation


def check_positive(name: str, value: float) -> float:
    """Return a number as a float; ValueError unless it is finite, above 0 and of usable size."""
    number = real(name, value)
    if not (math.isfinite(number) and number > 0.0):
        raise ValueError(f"{name}: expected a finite number above 0, got {value!r}")
    if not _LEAST <= number <= _MOST:
        raise ValueError(f"{name}: expected a number of 2^-250 to 2^250, got {value!r}; rescale it")
    return number


def fix_positive(record: object, *names: str) -> None:
    """Make fields of a frozen dataclass ``float``, or raise as `check_positive` does.

    NumPy's float32 would otherwise carry its own precision into all that is computed from it.
    """
    for name in names:
        object.__setattr__(record, name, check_positive(name, getattr(record, name)))


def check_delta(name: str, value: float, *, zero_allowed: bool = False) -> float:
    """Return a number as a float, or raise ValueError unless it lies in (0, 1)."""
    number = real(name, value)
    if 0.0 < number < 1.0 or (zero_allowed and number == 0.0):
        return number
    interval = "[0, 1)" if zero_allowed else "(0, 1)"
    raise ValueError(f"{name}: expected a number in {interval}, got {value!r}")


def check_count(name: str, value: int) -> int:
    """Return `value` as an int, or raise unless it is an integer from 1 to 2^63 - 1."""
    count = whole(name, value, least=1)
    if count > _MOST_COUNT:
        raise ValueError(f"{name}: expected at most 2^63 - 1, got more")
    return count


@dataclass(frozen=True, slots=True)
class Event:
    """One private operation, repeated `count` times.

    Use the constructors `gaussian`, `discrete_gaussian`, `discrete_laplace`, `skellam` and `pure`.

    Parameters
    ----------
    kind : {"gaussian", "discrete-gaussian", "discrete-laplace", "pure", "skellam"}
        Family of the noise.
    sigma : float
        Scale of the noise, in the unit of `sensitivity`.
    sensitivity : float
        Most that one unit changes the noiseless value, under the ledger's relation: L2 for the
        Gaussian kinds, L1 in lattice units for ``"discrete-laplace"``.
    sampling_probability : float
        Poisson sampling probability q of each unit; 1 means that all take part. Only
        ``"gaussian"`` may be sampled.
    count : int
        How many times the operation runs.
    l1_sensitivity : float
        L1 sensitivity in lattice units, of kind ``"skellam"`` alone, else 0.
    clip : float, optional
        C, the norm to which each unit's contribution is clipped, of kind ``"gaussian"`` alone.
        `sensitivity` is then C, or 2C under replace-one, where a sampled event must state it.

    Raises
    ------
    ValueError
        If a field lies outside its range, a kind other than ``"gaussian"`` is sampled, or
        `sensitivity` is neither `clip` nor twice `clip`.
    TypeError
        If `count` is not an integer, or a field is no number.

    Examples
    --------
    >>> veil.dp.Event.gaussian(sigma=1.5, sensitivity=1.0, sampling_probability=0.04, count=2250)
    Event(kind='gaussian', sigma=1.5, sensitivity=1.0, sampling_probability=0.04, count=2250, ...)
    """

    kind: str
    sigma: float
    sensitivity: float
    sampling_probability: float = 1.0
    count: int = 1
    l1_sensitivity: float = 0.0
    clip: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: expected one of {', '.join(KINDS)}; got {self.kind!r}")
        object.__setattr__(self, "sigma", check_positive("sigma", self.sigma))
        object.__setattr__(self, "sensitivity", check_positive("sensitivity", self.sensitivity))
        object.__setattr__(self, "count", check_count("count", self.count))
        q = check_positive("sampling_probability", self.sampling_probability)
        object.__setattr__(self, "sampling_probability", q)
        if q > 1.0:
            raise ValueError(f"sampling_probability: expected a number in (0, 1], got {q!r}")
        if q < 1.0 and self.kind != "gaussian":
            raise ValueError(
                f"sampling_probability: expected 1 for kind {self.kind!r}, got {q!r}; no "
                "accountant amplifies this kind by sampling"
            )
        self._check_l1()
        self._check_clip()
        if self.kind == "discrete-laplace" and not self.sensitivity.is_integer():
            raise ValueError(
                "sensitivity: expected a whole number of lattice units for kind "
                f"'discrete-laplace', got {self.sensitivity!r}"
            )
        for name in ("sensitivity", "l1_sensitivity"):
            ratio = getattr(self, name) / self.sigma
            if getattr(self, name) and not 1.0 / _MOST_RATIO <= ratio <= _MOST_RATIO:
                raise ValueError(
                    f"{name}: expected 2^-400 to 2^400 times sigma, got {getattr(self, name):g} "
                    f"with sigma = {self.sigma:g}; no accountant reckons with so little or so much"
                )

    def _check_l1(self) -> None:
        if self.kind == "skellam":
            l1 = check_positive("l1_sensitivity", self.l1_sensitivity)
            object.__setattr__(self, "l1_sensitivity", l1)
        elif self.l1_sensitivity != 0.0:
            raise ValueError(
                f"l1_sensitivity: expected 0 for kind {self.kind!r}, got {self.l1_sensitivity!r}"
            )

    def _check_clip(self) -> None:
        if self.clip is None:
            return
        if self.kind != "gaussian":
            raise ValueError(f"clip: expected None for kind {self.kind!r}, got {self.clip!r}")
        clip = check_positive("clip", self.clip)
        object.__setattr__(self, "clip", clip)
        if self.sensitivity not in (clip, 2.0 * clip):
            raise ValueError(
                f"sensitivity: expected clip = {clip:g}, or twice that under replace-one, got "
                f"{self.sensitivity!r}"
            )

    @classmethod
    def gaussian(
        cls,
        *,
        sigma: float,
        sensitivity: float,
        sampling_probability: float = 1.0,
        count: int = 1,
        clip: float | None = None,
    ) -> "Event":
        """Gaussian noise of standard deviation `sigma` on a vector of L2 sensitivity.

        Also stands for whatever is a post-processing of it, such as rounded Gaussian noise.

        Parameters
        ----------
        sigma, sensitivity : float
            In one unit.
        sampling_probability : float
            Poisson sampling probability of each unit.
        count : int
            How many times it runs.
        clip : float, optional
            Norm C of each unit's contribution, in the same unit; a sampled event under replace-one
            needs it, with `sensitivity` = 2C.

        Returns
        -------
        Event
            The event.
        """
        return cls("gaussian", sigma, sensitivity, sampling_probability, count, clip=clip)

    @classmethod
    def discrete_gaussian(cls, *, sigma: float, sensitivity: float, count: int = 1) -> "Event":
        """Discrete Gaussian noise below 8 lattice units, by its zCDP bound.

        Parameters
        ----------
        sigma, sensitivity : float
            In lattice units; L2.
        count : int
            How many times it runs.

        Returns
        -------
        Event
            The event; rho = sensitivity^2 / (2 sigma^2), arXiv 2004.00010, Theorem 4.
        """
        return cls("discrete-gaussian", sigma, sensitivity, 1.0, count)

    @classmethod
    def discrete_laplace(cls, *, scale: float, sensitivity: int, count: int = 1) -> "Event":
        """Discrete Laplace noise of `scale` on an integer vector of L1 sensitivity.

        Parameters
        ----------
        scale : float
            In lattice units.
        sensitivity : int
            In lattice units; L1.
        count : int
            How many times it runs.

        Returns
        -------
        Event
            The event; pure epsilon = sensitivity / scale.
        """
        return cls("discrete-laplace", scale, check_count("sensitivity", sensitivity), 1.0, count)

    @classmethod
    def skellam(
        cls, *, variance: float, sensitivity: float, l1_sensitivity: float, count: int = 1
    ) -> "Event":
        """Skellam noise on an integer vector, by its Renyi bound at whole orders up to 256.

        Parameters
        ----------
        variance : float
            Of the noise on each value, in lattice units.
        sensitivity, l1_sensitivity : float
            L2 and L1, in lattice units.
        count : int
            How many times it runs.

        Returns
        -------
        Event
            The event: divergence of order a at most a rho + xi, rho = sensitivity^2 / (2 variance)
            and xi = 3 l1_sensitivity / (2 variance); Agarwal, Kairouz and Liu 2021, arXiv
            2110.04995.
        """
        sigma = math.sqrt(check_positive("variance", variance))
        return cls("skellam", sigma, sensitivity, 1.0, count, l1_sensitivity)

    @classmethod
    def pure(cls, *, epsilon: float, count: int = 1) -> "Event":
        """Any mechanism that is `epsilon`-DP under the ledger's relation.

        Parameters
        ----------
        epsilon : float
            Largest privacy loss, in nats.
        count : int
            How many times it runs.

        Returns
        -------
        Event
            The event.
        """
        return cls("pure", 1.0, epsilon, 1.0, count)

    @property
    def ratio(self) -> float:
        """Sensitivity over sigma: mu of a Gaussian, epsilon of a Laplace or pure event."""
        return self.sensitivity / self.sigma

    @property
    def one(self) -> "Event":
        """The same operation, run once."""
        return replace(self, count=1)

    def repeat(self, count: int) -> "Event":
        """Return the same operation, run `count` times as often.

        Parameters
        ----------
        count : int
            Factor by which the number of runs grows.

        Returns
        -------
        Event
            The event of all runs together.
        """
        return replace(self, count=self.count * check_count("count", count))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that the kind has as JSON-ready values; `clip` where it is stated."""
        names = _fields(self.kind, clipped=self.clip is not None)
        return {name: value for name, value in asdict(self).items() if name in names}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Event":
        """Read what `to_dict` wrote.

        Parameters
        ----------
        fields : mapping
            Exactly the fields of an event. Only the kinds listed above are known; nothing is
            imported or looked up by a name found in the data.

        Returns
        -------
        Event
            The event.

        Raises
        ------
        ValueError
            If a field is missing, unknown or outside its range.
        """
        expected = _fields(fields.get("kind"), clipped=fields.get("clip") is not None)
        if set(fields) != set(expected):
            raise ValueError(
                f"event: expected the fields {', '.join(expected)}; got "
                f"{', '.join(sorted(map(str, fields)))}"
            )
        return cls(**fields)


def _fields(kind: Any, *, clipped: bool) -> tuple[str, ...]:
    """Names of the fields that an event of a kind is written with."""
    left_out = {"l1_sensitivity"} if kind != "skellam" else set()
    if not clipped:
        left_out.add("clip")
    return tuple(name for name in Event.__slots__ if name not in left_out)
