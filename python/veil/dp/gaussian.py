"""The Gaussian mechanism, on a lattice.

By default g (round(x / g) + Z) with Z discrete Gaussian. With ``integer=True`` x + round(N(0,
sigma^2)), which is a post-processed Gaussian mechanism for every sigma.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from veil.dp._gaussian import gaussian_mu
from veil.dp._inputs import Input, check_flag, check_ledger, generator
from veil.dp._lattice import (
    ETA_SQUARED,
    LEAST_SIGMA,
    Lattice,
    gaussian_event,
    gaussian_lattice,
    gaussian_slack,
)
from veil.dp._samplers import discrete_gaussian, rounded_gaussian
from veil.dp._slack import leaving_slack
from veil.dp.accounting import epsilon as epsilon_of
from veil.dp.events import Event, check_count, check_delta, check_positive, fix_positive
from veil.dp.release import Release, half_width_gaussian

if TYPE_CHECKING:
    from veil.dp._book import Charge
    from veil.dp.ledger import Ledger
    from veil.random import SecureGenerator

__all__ = ["GaussianMechanism"]

_MOST_INTEGER_SIGMA = 2.0**32


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianMechanism:
    """Add Gaussian noise of standard deviation `sigma`, exactly, on a lattice.

    Each release is Gaussian-differentially private with mu = (widened sensitivity) / sigma, up to
    the slack that it states and charges.

    Parameters
    ----------
    l2_sensitivity : float
        Most that one unit changes the value in L2 norm, under the ledger's relation.
    sigma : float
        Standard deviation of the noise, in the unit of the value.

    Raises
    ------
    ValueError
        If a parameter is not a finite number above 0.

    Notes
    -----
    The lattice depends on the number of values released: see `lattice`. Floats are clamped to
    2^52 lattice units, which changes no sensitivity.

    References
    ----------
    Balle and Wang 2018, arXiv 1805.06530. Canonne, Kamath and Steinke 2020, arXiv 2004.00010.
    Mironov 2012, On significance of the least significant bits for differential privacy.

    Examples
    --------
    >>> ledger = veil.dp.Ledger(epsilon=1.0, delta=1e-6, unit="patient",
    ...                         relation="add-or-remove-one", mode="adaptive")
    >>> mechanism = veil.dp.GaussianMechanism(l2_sensitivity=1.0, sigma=20.0)
    >>> released = mechanism.release(np.zeros(3), ledger=ledger)
    >>> float((released.value / released.granularity % 1).max())
    0.0
    """

    l2_sensitivity: float
    sigma: float

    def __post_init__(self) -> None:
        fix_positive(self, "l2_sensitivity", "sigma")

    @classmethod
    def calibrate(
        cls, *, epsilon: float, delta: float, l2_sensitivity: float
    ) -> "GaussianMechanism":
        """Find the least noise, within two thousandths, for an (epsilon, delta)-DP release.

        Parameters
        ----------
        epsilon : float
            Above 0.
        delta : float
            In (0, 1).
        l2_sensitivity : float
            As in the class.

        Returns
        -------
        GaussianMechanism
            With sigma for the sensitivity widened by a thousandth, as rounding to any lattice may
            do; its closed form was checked with 35 digits to spend no more than asked. 0.998 sigma
            spends more than `epsilon`.

        Raises
        ------
        ValueError
            If an argument is out of range, or the slack of even one value, which `epsilon` and a
            ledger charge, does not fit in a hundredth of `delta`.
        """
        epsilon = check_positive("epsilon", epsilon)
        delta = check_delta("delta", delta)
        l2_sensitivity = check_positive("l2_sensitivity", l2_sensitivity)

        def made(reduced: float) -> "GaussianMechanism":
            continuous = 1.001 * l2_sensitivity / gaussian_mu(epsilon, reduced)
            # The event's sigma^2 is short of the discrete one's by eta^2 lattice units, of at most
            # sigma^2 / 64^2 each.
            sigma = continuous / math.sqrt(1.0 - ETA_SQUARED / LEAST_SIGMA**2)
            return cls(l2_sensitivity=l2_sensitivity, sigma=sigma * (1.0 + 1e-12))

        return leaving_slack(made, lambda mechanism: mechanism.epsilon(delta), epsilon, delta)

    def lattice(self, size: int) -> Lattice:
        """Return the lattice of a float release.

        Parameters
        ----------
        size : int
            Number of values.

        Returns
        -------
        Lattice
            Granularity, and sigma and widened sensitivity in its units.

        Raises
        ------
        ValueError
            If sigma is outside the sampler's range on it.
        """
        return gaussian_lattice(self.l2_sensitivity, self.sigma, check_count("size", size))

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

        drawn = self._noise(check_count("size", size), check_flag("integer", integer))
        return Charge(label, drawn.event, drawn.slack)

    def epsilon(self, delta: float, *, size: int = 1) -> float:
        """Return epsilon of one release of floats.

        Parameters
        ----------
        delta : float
            In (0, 1).
        size : int
            Number of values.

        Returns
        -------
        float
            Closed form at the widened sensitivity, slack included.

        Raises
        ------
        ValueError
            If `delta` is out of range.
        """
        drawn = self._noise(check_count("size", size), False)
        return epsilon_of(drawn.event, delta=delta, relation="add-or-remove-one", slack=drawn.slack)

    def release(
        self,
        x: Any,
        *,
        ledger: "Ledger",
        integer: bool = False,
        rng: "SecureGenerator | None" = None,
        out: Any = None,
        label: str = "gaussian",
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

        Notes
        -----
        Work per value is fixed; see `veil.noise`. Reproducible for a seeded generator.
        """
        check_ledger(ledger)
        source = generator(rng)
        given = Input(x, out, integer=integer)
        drawn = self._noise(given.size, given.integer)
        lattice = drawn.lattice
        given.check_lattice(lattice.granularity)
        ledger.charge(drawn.event, slack=drawn.slack, label=label)
        return Release(
            value=add_noise(given, drawn.noise, lattice.granularity, source),
            mechanism="rounded Gaussian" if integer else "discrete Gaussian",
            granularity=lattice.granularity,
            sensitivity=float(self.l2_sensitivity),
            widened_sensitivity=lattice.sensitivity * lattice.granularity,
            sigma=float(self.sigma),
            event=drawn.event,
            slack=drawn.slack,
            exact_from="input" if integer else "sum",
            unit=ledger.unit,
            relation=ledger.relation,
            seeded=source.seeded,
            error=half_width_gaussian(self.sigma),
        )

    def _noise(self, size: int, integer: bool) -> "_Noise":
        if integer:
            if not 0.05 <= self.sigma <= _MOST_INTEGER_SIGMA:
                raise ValueError(
                    f"sigma: expected 0.05 to 2^32 for integer data, got {self.sigma:g}"
                )
            event = Event.gaussian(sigma=self.sigma, sensitivity=self.l2_sensitivity)
            lattice = Lattice(1.0, float(self.sigma), float(self.l2_sensitivity))
            noise = rounded_gaussian(self.sigma)
            return _Noise(noise, lattice, event, size * noise.tv_bound)
        lattice = self.lattice(size)
        wide = discrete_gaussian(lattice.sigma)
        return _Noise(wide, lattice, gaussian_event(lattice), gaussian_slack(wide, size))


@dataclass(frozen=True, slots=True)
class _Noise:
    """What one release draws and is charged."""

    noise: Any
    lattice: Lattice
    event: Event
    slack: float


def add_noise(given: Input, noise: Any, granularity: float, rng: "SecureGenerator") -> Any:
    """Return x + noise: whole for integers, a multiple of the granularity for floats."""
    target, result = given.result()
    if given.integer:
        drawn = noise.sample(given.size, rng)
        drawn += given.points()
        target.reshape(-1)[...] = drawn
    else:
        words = given.floats(granularity)
        noise.add_to_lattice(words, rng, granularity=granularity, out=target.reshape(-1))
    return target.item() if given.scalar and result is target else result
