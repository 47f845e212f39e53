"""Choosing the best of many, and asking whether a value is above a threshold.

Both are pure: their largest privacy loss is epsilon whatever the data. Every probability is
compared with enough random bits that the distance from the stated one is computed, not assumed.
"""

import math
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from veil import _arrays
from veil.dp._inputs import MOST_POINT, check_ledger, generator, require_finite
from veil.dp._lattice import choice_lattice
from veil.dp._samplers import discrete_laplace
from veil.dp.events import Event, check_count, fix_positive
from veil.dp.release import Release
from veil.errors import DataError, LedgerError

if TYPE_CHECKING:
    from veil.dp._book import Charge
    from veil.dp.ledger import Ledger
    from veil.random import SecureGenerator

__all__ = ["ExponentialMechanism", "SparseVector", "ThresholdSession"]

_MOST_FLOAT = sys.float_info.max


@dataclass(frozen=True, slots=True, kw_only=True)
class ExponentialMechanism:
    """Choose the index of a high score by permute-and-flip.

    The choice is epsilon-DP when one unit changes each score by at most `sensitivity`; its
    expected error is never above that of the exponential mechanism, and up to half of it.

    Parameters
    ----------
    sensitivity : float
        Most that one unit changes any one score, under the ledger's relation.
    epsilon : float
        Above 0.

    Raises
    ------
    ValueError
        If a parameter is not a finite number above 0.

    References
    ----------
    McKenna and Sheldon 2020, Permute-and-flip, arXiv 2010.12603.

    Examples
    --------
    >>> ledger = veil.dp.Ledger(epsilon=1.0, delta=1e-6, unit="patient",
    ...                         relation="add-or-remove-one", mode="adaptive")
    >>> mechanism = veil.dp.ExponentialMechanism(sensitivity=1.0, epsilon=0.2)
    >>> mechanism.release([3, 900, 4], ledger=ledger).value
    1
    """

    sensitivity: float
    epsilon: float

    def __post_init__(self) -> None:
        fix_positive(self, "sensitivity", "epsilon")

    def charge(self, size: int, *, label: str) -> "Charge":
        """Return what a release will be charged, for a plan.

        Parameters
        ----------
        size : int
            Number of candidates.
        label : str
            Label of the release.

        Returns
        -------
        Charge
            The charge.
        """
        from veil.dp._book import Charge

        return Charge(
            label, Event.pure(epsilon=self.epsilon), flip_slack(check_count("size", size))
        )

    def release(
        self,
        scores: npt.ArrayLike,
        *,
        ledger: "Ledger",
        rng: "SecureGenerator | None" = None,
        label: str = "choice",
    ) -> Release:
        """Charge the ledger, then choose.

        Parameters
        ----------
        scores : array-like of float or int, shape (n_candidates,)
            Higher is better. Candidates must be fixed without looking at the data. Integers and
            floats are rounded to one lattice, that of the sensitivity.
        ledger : Ledger
            Is charged before any random number is drawn.
        rng : SecureGenerator, optional
            By default a new one, seeded by the operating system.
        label : str
            Label of the charge.

        Returns
        -------
        Release
            The chosen index; `error` is how far its score lies below the best, at most, with
            probability 95 %.

        Raises
        ------
        BudgetExceeded
            If the ledger refuses; nothing is drawn.
        DataError
            If `scores` is empty or holds NaN or infinity; nothing is charged.
        TypeError, ValueError
            If an argument is wrong; nothing is charged.

        Notes
        -----
        Draws 64 bits per candidate. The number of candidates that are near the best shows in the
        time; the scores do not.
        """
        check_ledger(ledger)
        source = generator(rng)
        points, granularity, widened = self._points(scores)
        slack = flip_slack(points.size)
        event = Event.pure(epsilon=self.epsilon)
        ledger.charge(event, slack=slack, label=label)
        rate = self.epsilon / (2.0 * widened)
        return Release(
            value=permute_and_flip(points, rate, source),
            mechanism="permute-and-flip",
            granularity=None,
            sensitivity=float(self.sensitivity),
            widened_sensitivity=widened * granularity,
            sigma=granularity / rate,
            event=event,
            slack=slack,
            exact_from="sum",
            unit=ledger.unit,
            relation=ledger.relation,
            seeded=source.seeded,
            error=granularity * choice_error(points.size, rate),
        )

    def _points(self, scores: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], float, float]:
        """Return scores on a lattice, its granularity, and the sensitivity in its units."""
        given: Any = scores
        if _arrays.is_tensor(given):
            bits = str(given.dtype).endswith("bfloat16")
            given = _arrays.array(given.float() if bits else given, "scores")
        try:
            array = np.asarray(_arrays.unmasked("scores", given))
        except DataError:
            raise
        except ValueError as error:
            raise TypeError("scores: expected one dimension, got nested sequences") from error
        if array.ndim != 1 or array.dtype.kind not in "iuf":
            raise TypeError(
                "scores: expected one dimension of floats or integers, got "
                f"{array.dtype}, shape {array.shape}"
            )
        if array.size == 0:
            raise DataError("scores: expected at least one candidate, got none")
        g, widened = choice_lattice(self.sensitivity)
        with np.errstate(over="ignore"):
            numbers = array.astype(np.float64)
        require_finite("scores", numbers)
        return _points_of(numbers, g), g, widened


def _points_of(numbers: npt.NDArray[np.float64], g: float) -> npt.NDArray[np.int64]:
    with np.errstate(over="ignore"):  # infinite quotients are clamped too
        points: npt.NDArray[np.int64] = np.rint(
            np.clip(numbers / g, -MOST_POINT, MOST_POINT)
        ).astype(np.int64)
    return points


def choice_error(candidates: int, rate: float) -> float:
    """Return how far below the best the chosen score lies at most, with probability 95 %.

    A candidate k below the best is accepted with probability exp(-rate k): sum over all.
    """
    return math.log(20.0 * candidates) / rate


def flip_slack(candidates: int) -> float:
    """Return the slack of one permute-and-flip: 2^-126 per coin, 2^-63 never enters."""
    return candidates * 2.0**-126


def permute_and_flip(points: npt.NDArray[np.int64], rate: float, rng: "SecureGenerator") -> int:
    """Return an index, from integer scores: exp(-rate (best - score)) is each coin's probability.

    The first accepted candidate of a random permutation is uniform among all that their coins
    accept, since the coins do not depend on the order; the best is always accepted.
    """
    gaps = (points.max() - points).astype(np.float64)
    accepted = np.flatnonzero(_coins(gaps, rate, rng))
    return int(accepted[int(rng.integers(accepted.size, 1)[0])])


# exp of a double is within 2^-50 relative of the truth; a uniform word this close to it is settled
# with 128 bits.
_DOUBT = 2.0**-45


def _coins(
    gaps: npt.NDArray[np.float64], rate: float, rng: "SecureGenerator"
) -> npt.NDArray[np.bool_]:
    """Return one coin per gap, true with probability exp(-rate gap)."""
    words = np.frombuffer(rng.bytes(8 * gaps.size), np.uint64)
    uniform = words.astype(np.float64) * 2.0**-64
    probability = np.exp(-rate * gaps)
    coins = uniform < probability
    for i in np.flatnonzero(np.abs(uniform - probability) <= _DOUBT):
        coins[i] = _exact_coin(int(words[i]), float(gaps[i]), rate, rng)
    return coins


def _exact_coin(word: int, gap: float, rate: float, rng: "SecureGenerator") -> bool:
    """Compare 128 uniform bits, of which `word` is the upper half, with the probability."""
    import mpmath

    low = int.from_bytes(rng.bytes(8), "little")
    with mpmath.workprec(200):
        threshold = int(mpmath.floor(mpmath.exp(-mpmath.mpf(rate) * mpmath.mpf(gap)) * 2**128))
    return (word << 64 | low) < threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseVector:
    """Ask many values whether they are above a threshold, and pay only for the first that is.

    A session is epsilon-DP however many values it is asked about, up to and including the first
    answer "above", when one unit changes each value by at most `sensitivity`.

    Parameters
    ----------
    sensitivity : float
        Most that one unit changes any one value, under the ledger's relation.
    epsilon : float
        Of one session, above 0.

    Raises
    ------
    ValueError
        If a parameter is not a finite number above 0.

    Notes
    -----
    Discrete Laplace noise on a lattice: scale k / e1 on the threshold and 2 k / e2 on each value,
    with k the sensitivity in lattice units, e1 + e2 = epsilon and e2 / e1 = 2^(2/3).

    References
    ----------
    Dwork and Roth 2014, The algorithmic foundations of differential privacy, Algorithm 1. Lyu, Su
    and Li 2017, Understanding the sparse vector technique, arXiv 1603.01699.

    Examples
    --------
    >>> ledger = veil.dp.Ledger(epsilon=1.0, delta=1e-6, unit="patient",
    ...                         relation="add-or-remove-one", mode="adaptive")
    >>> session = veil.dp.SparseVector(sensitivity=1.0, epsilon=0.2).start(
    ...     threshold=1000.0, ledger=ledger)
    >>> session.above(-5000.0), session.above(9000.0)
    (False, True)
    """

    sensitivity: float
    epsilon: float

    def __post_init__(self) -> None:
        fix_positive(self, "sensitivity", "epsilon")

    def start(
        self,
        *,
        threshold: float,
        ledger: "Ledger",
        rng: "SecureGenerator | None" = None,
        max_tests: int = 1 << 20,
        label: str = "above threshold",
    ) -> "ThresholdSession":
        """Charge the ledger for one session, then draw the threshold's noise.

        Parameters
        ----------
        threshold : float
            What values are compared with.
        ledger : Ledger
            Is charged epsilon at once.
        rng : SecureGenerator, optional
            By default a new one, seeded by the operating system.
        max_tests : int
            Most values that the session will be asked about; their slack is charged now.
        label : str
            Label of the charge.

        Returns
        -------
        ThresholdSession
            Ends with its first "above".

        Raises
        ------
        BudgetExceeded
            If the ledger refuses; nothing is drawn.
        TypeError, ValueError
            If an argument is wrong; nothing is charged.
        """
        check_ledger(ledger)
        source = generator(rng)
        number = _finite("threshold", threshold, ValueError)
        most = check_count("max_tests", max_tests)
        return ThresholdSession(self, number, ledger, source, most, label)


class ThresholdSession:
    """One run of above-threshold; made by `SparseVector.start`.

    Parameters
    ----------
    mechanism : SparseVector
        Its sensitivity and epsilon.
    threshold : float
        What values are compared with.
    ledger : Ledger
        Is charged here.
    rng : SecureGenerator
        Where noise comes from.
    max_tests : int
        Most values.
    label : str
        Label of the charge.
    """

    def __init__(
        self,
        mechanism: SparseVector,
        threshold: float,
        ledger: "Ledger",
        rng: "SecureGenerator",
        max_tests: int,
        label: str,
    ) -> None:
        self._granularity, widened = choice_lattice(mechanism.sensitivity)
        widened = float(math.ceil(widened))
        of_threshold = mechanism.epsilon / (1.0 + 2.0 ** (2.0 / 3.0))
        of_value = mechanism.epsilon - of_threshold
        threshold_noise = discrete_laplace(widened / of_threshold)
        self._noise = discrete_laplace(2.0 * widened / of_value)
        slack = threshold_noise.tv_bound + max_tests * self._noise.tv_bound
        event = Event.pure(epsilon=mechanism.epsilon)
        ledger.charge(event, slack=slack, label=label)
        self._guard = threading.Lock()
        self._rng = rng
        self._left = max_tests
        self._threshold = self._point(threshold) + int(threshold_noise.sample(1, rng)[0])
        # Error of one answer at 95 %: each of the two draws within its own 97.5 %.
        scales = threshold_noise.scale + self._noise.scale
        self._record = Release(
            value=None,
            mechanism="sparse vector (above threshold)",
            granularity=self._granularity,
            sensitivity=float(mechanism.sensitivity),
            widened_sensitivity=widened * self._granularity,
            sigma=self._noise.scale * self._granularity,
            event=event,
            slack=slack,
            exact_from="sum",
            unit=ledger.unit,
            relation=ledger.relation,
            seeded=rng.seeded,
            error=math.log(40.0) * scales * self._granularity,
            public=("the mechanism's parameters", "number of values asked", "the threshold"),
        )

    @property
    def statement(self) -> Release:
        """What the whole session is charged and states; it holds no value."""
        return self._record

    @property
    def open(self) -> bool:
        """Whether another value may be asked about."""
        return self._left > 0

    def above(self, value: float) -> bool:
        """Tell whether a value, with noise, is above the threshold, with noise.

        Parameters
        ----------
        value : float
            The next value; it may depend on earlier answers.

        Returns
        -------
        bool
            True ends the session.

        Raises
        ------
        LedgerError
            If the session has answered "above", or its `max_tests` values, already.
        DataError
            If `value` is not finite; the session goes on.
        """
        number = _finite("value", value, DataError)
        with self._guard:  # two threads must not both be the one that is answered "above"
            return self._answer(number)

    def _answer(self, number: float) -> bool:
        if not self.open:
            raise LedgerError(
                "session: it has ended; start another, which is charged again, to go on"
            )
        self._left -= 1
        noisy = self._point(number) + int(self._noise.sample(1, self._rng)[0])
        answer = noisy >= self._threshold
        if answer:
            self._left = 0
        return answer

    def _point(self, value: float) -> int:
        return int(_points_of(np.array([value], np.float64), self._granularity)[0])

    def __reduce__(self) -> Any:
        raise TypeError("a ThresholdSession cannot be copied or pickled: its noise would repeat")


def _finite(name: str, value: Any, error: type[ValueError]) -> float:
    """Return a number of any type as a float; integers beyond a double's range are clamped."""
    try:
        # Older releases of NumPy turn an array of one number into a float.
        if isinstance(value, str | bytes | bool | np.bool_) or getattr(value, "ndim", False):
            raise TypeError
        number = float(value)
    except OverflowError:
        return _MOST_FLOAT if value > 0 else -_MOST_FLOAT
    except (TypeError, ValueError, RuntimeError):
        # The message of float() may quote the value.
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}") from None
    if not math.isfinite(number):
        raise error(f"{name}: expected a finite number, got NaN or infinity")
    return number
