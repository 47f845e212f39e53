"""The Laplace mechanism: discrete Laplace noise on round(x / g), or on integers when asked for."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from veil.dp._inputs import Input, check_flag, check_ledger, generator
from veil.dp._lattice import Lattice, laplace_lattice
from veil.dp._samplers import discrete_laplace
from veil.dp.events import Event, check_count, fix_positive
from veil.dp.gaussian import add_noise
from veil.dp.release import Release, half_width_laplace

if TYPE_CHECKING:
    from veil.dp._book import Charge
    from veil.dp.ledger import Ledger
    from veil.random import SecureGenerator

__all__ = ["LaplaceMechanism"]

_LEAST_SCALE = 2.0**-5
_MOST_SCALE = 2.0**32


@dataclass(frozen=True, slots=True, kw_only=True)
class LaplaceMechanism:
    """Add Laplace noise, exactly, on a lattice.

    A release is epsilon-DP up to the slack that it states and charges: (epsilon, slack)-DP, never
    pure.

    Parameters
    ----------
    l1_sensitivity : float
        Most that one unit changes the value in L1 norm, under the ledger's relation.
    epsilon : float
        Above 0.

    Raises
    ------
    ValueError
        If a parameter is not a finite number above 0.

    Notes
    -----
    The scale is (widened sensitivity) / epsilon, where rounding to the lattice of `lattice` widens
    by at most a thousandth and one lattice unit.

    References
    ----------
    Ghosh, Roughgarden and Sundararajan 2009, Universally utility-maximizing privacy mechanisms.

    Examples
    --------
    >>> ledger = veil.dp.Ledger(epsilon=1.0, delta=1e-6, unit="patient",
    ...                         relation="add-or-remove-one", mode="adaptive")
    >>> mechanism = veil.dp.LaplaceMechanism(l1_sensitivity=1.0, epsilon=0.1)
    >>> type(mechanism.release(12, ledger=ledger, integer=True).value)
    <class 'int'>
    """

    l1_sensitivity: float
    epsilon: float

    def __post_init__(self) -> None:
        fix_positive(self, "l1_sensitivity", "epsilon")

    def lattice(self, size: int) -> Lattice:
        """Return the lattice of a float release.

        Parameters
        ----------
        size : int
            Number of values.

        Returns
        -------
        Lattice
            Granularity, and scale and widened sensitivity in its units.

        Raises
        ------
        ValueError
            If the scale is outside the sampler's range on it.
        """
        return laplace_lattice(self.l1_sensitivity, self.epsilon, check_count("size", size))

    @property
    def granularity(self) -> float:
        """Granularity of a release of one float."""
        return self.lattice(1).granularity

    def charge(self, size: int, *, label: str, integer: bool = False) -> "Charge":
        """Return what a release will be charged, for a plan.

        Parameters
        ----------
        size : int
            Number of values.
        label : str
            Label of the release.
        integer : bool
            As the release will be given.

        Returns
        -------
        Charge
            The charge.
        """
        from veil.dp._book import Charge

        size = check_count("size", size)
        event, noise, _ = self._noise(size, check_flag("integer", integer))
        return Charge(label, event, size * noise.tv_bound)

    def release(
        self,
        x: Any,
        *,
        ledger: "Ledger",
        integer: bool = False,
        rng: "SecureGenerator | None" = None,
        out: Any = None,
        label: str = "laplace",
    ) -> Release:
        """Charge the ledger, then add noise.

        Parameters
        ----------
        x : float, int, ndarray or CPU tensor
            Of float32, float64 or integers, any shape.
        ledger : Ledger
            Is charged before any noise is drawn.
        integer : bool, default False
            False: noise on the lattice of `lattice`, whatever the type of `x`. True: integer noise
            on integers, whose type must then not depend on the data.
        rng : SecureGenerator, optional
            By default a new one, seeded by the operating system.
        out : ndarray or CPU tensor, optional
            Memory for the value: int64 with `integer`, else the type of `x` if that is a float, and
            float64 if not; may be `x`.
        label : str
            Label of the charge.

        Returns
        -------
        Release
            The noisy value: floats, or with `integer` integers; float32 values are rounded after
            the noise.

        Raises
        ------
        BudgetExceeded
            If the ledger refuses; nothing is drawn.
        DataError
            If `x` is empty or holds NaN, infinity or a masked entry; nothing is charged.
        TypeError, ValueError
            If an argument is wrong; nothing is charged.
        """
        check_ledger(ledger)
        source = generator(rng)
        given = Input(x, out, integer=integer)
        event, noise, lattice = self._noise(given.size, given.integer)
        given.check_lattice(lattice.granularity)
        slack = given.size * noise.tv_bound
        ledger.charge(event, slack=slack, label=label)
        scale = lattice.sigma * lattice.granularity
        return Release(
            value=add_noise(given, noise, lattice.granularity, source),
            mechanism="discrete Laplace",
            granularity=lattice.granularity,
            sensitivity=float(self.l1_sensitivity),
            widened_sensitivity=lattice.sensitivity * lattice.granularity,
            sigma=scale,
            event=event,
            slack=slack,
            exact_from="input" if integer else "sum",
            unit=ledger.unit,
            relation=ledger.relation,
            seeded=source.seeded,
            error=half_width_laplace(scale),
        )

    def _noise(self, size: int, integer: bool) -> tuple[Event, Any, Lattice]:
        if integer:
            whole = float(math.ceil(self.l1_sensitivity))
            lattice = Lattice(1.0, whole / self.epsilon, whole)
        else:
            lattice = self.lattice(size)
        if not _LEAST_SCALE <= lattice.sigma <= _MOST_SCALE:
            raise ValueError(
                f"epsilon: expected a scale of 2^-5 to 2^32 lattice units, got {lattice.sigma:g}"
            )
        event = Event.discrete_laplace(scale=lattice.sigma, sensitivity=int(lattice.sensitivity))
        return event, discrete_laplace(lattice.sigma), lattice
