"""The generator of everything random that Veil draws: noise, samples, keys."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NoReturn, SupportsIndex

import numpy as np
import numpy.typing as npt

from veil import _core
from veil.random._outputs import Shape, at_least, target

__all__ = ["SecureGenerator"]


class SecureGenerator(_core.SecureGenerator):
    """Draw from a cryptographic generator seeded by the operating system.

    What it draws is indistinguishable from independent uniform bits to anyone who does not hold
    its key, as far as AES-256 is sound: the guarantee is computational.

    Raises
    ------
    RuntimeError
        If the operating system gives no entropy.

    Notes
    -----
    *Streams*: every draw gets an AES-256-CTR keystream under a key of its own, at most 2**36 bytes
    (there its distance from random is below 2**-65); a larger draw raises ValueError.

    *Forward secrecy* (fast key erasure): each draw replaces the generator's key by one from which
    the old one cannot be computed. Whoever reads this object's memory later learns no earlier
    draw, but can compute all later ones until the process takes new entropy, that is, makes a new
    generator. Output arrays and pages that the operating system swapped out are not covered.

    *Threads*: any number of threads may share one generator; which thread gets which stream is
    then a race. *Fork*: a child takes new entropy before its first draw and never repeats its
    parent; a seeded generator raises RuntimeError in a child instead. *Snapshots* of a virtual
    machine do repeat: make a new generator after a restore.

    *Determinism*: for a seeded generator the same draws in the same order give the same bits, on
    every instruction set and number of threads. One draw of 20 is not two draws of 10.

    *Pickle and copy* raise TypeError: both would repeat the stream.

    References
    ----------
    NIST SP 800-38A, section 6.5. D. J. Bernstein, "Fast-key-erasure random-number generators",
    2017.

    Examples
    --------
    >>> rng = veil.random.SecureGenerator()
    >>> rng.normal(3, dtype=np.float32, scale=1.0).shape
    (3,)
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()

    @classmethod
    def from_seed(cls, seed: bytes | bytearray | memoryview) -> SecureGenerator:
        """Make a reproducible generator, for tests and simulation only.

        Whoever knows the seed knows every draw: noise from it protects nobody. Each release drawn
        from it says ``seeded=True``.

        Parameters
        ----------
        seed : bytes-like, 32 bytes
            The first key.

        Returns
        -------
        SecureGenerator
            A generator whose `seeded` is True.

        Raises
        ------
        TypeError
            If `seed` is not bytes-like.
        ValueError
            If `seed` is not 32 bytes.

        Examples
        --------
        >>> veil.random.SecureGenerator.from_seed(bytes(32)).bytes(4).hex()
        '31396203'
        """
        generator = cls.__new__(cls)
        _core.SecureGenerator.__init__(generator, seed)
        return generator

    def bytes(self, n: SupportsIndex) -> bytes:
        """Draw uniform bytes.

        Parameters
        ----------
        n : int
            Number of bytes, at least 0.

        Returns
        -------
        bytes
            `n` bytes.

        Raises
        ------
        ValueError
            If `n` is negative or above 2**36.
        """
        return self.draw_bytes(at_least("n", n, 0))

    def normal(
        self,
        shape: Shape,
        *,
        dtype: npt.DTypeLike,
        scale: float,
        out: Any = None,
        threads: int | None = None,
    ) -> Any:
        """Draw Gaussian float noise of mean 0: float noise, not exact.

        The low bits of a float sample carry information about it, so adding this noise to data is
        not differentially private in floating point (Mironov 2012); `veil.noise` is exact.

        Parameters
        ----------
        shape : int or tuple of int
            Shape of the result.
        dtype : {float32, float64}
            Its type.
        scale : float
            Standard deviation, above 0.
        out : ndarray or CPU tensor of `dtype` and `shape`, optional
            C-contiguous array that receives the values.
        threads : int, optional
            Most threads to use; they change the speed, never the bits.

        Returns
        -------
        ndarray or tensor
            `out`, or a new array.

        Raises
        ------
        TypeError
            If `dtype` is neither float32 nor float64, or `out` has another.
        ValueError
            If `scale` is not a positive number within the type's range, or `out` has another
            shape, is not contiguous or not writable.

        Notes
        -----
        Box-Muller: 64 random bits in each radius, 32 (float32) or 64 in each angle; values reach
        9.49 times `scale`, which leaves a mass below 3e-21 out. Each value is within 8 units in
        its last place of the exact function of its random bits. Costs 6 (float32) or 8 random
        bytes per value. Time does not depend on the values: one below the type's least normal
        number is given as zero.

        References
        ----------
        G. E. P. Box, M. E. Muller, Ann. Math. Statist. 29 (1958). I. Mironov, CCS 2012.
        """
        array, result = _floats(shape, dtype, out)
        self.fill_normal(array, _scale(scale, array.dtype), threads)
        return result

    def laplace(
        self,
        shape: Shape,
        *,
        dtype: npt.DTypeLike,
        scale: float,
        out: Any = None,
        threads: int | None = None,
    ) -> Any:
        """Draw Laplace float noise of mean 0: float noise, not exact.

        As with `normal`, the low bits leak; `veil.noise.DiscreteLaplace` is exact.

        Parameters
        ----------
        shape : int or tuple of int
            Shape of the result.
        dtype : {float32, float64}
            Its type.
        scale : float
            The b of the density exp(-|x| / b) / (2 b), above 0.
        out : ndarray or CPU tensor of `dtype` and `shape`, optional
            C-contiguous array that receives the values.
        threads : int, optional
            Most threads to use; they change the speed, never the bits.

        Returns
        -------
        ndarray or tensor
            `out`, or a new array.

        Raises
        ------
        TypeError
            If `dtype` is neither float32 nor float64, or `out` has another.
        ValueError
            If `scale` is not a positive number within the type's range, or `out` has another
            shape, is not contiguous or not writable.

        Notes
        -----
        -`scale` · ln u with a random sign, 64 random bits in u. Costs 12 (float32) or 16 random
        bytes per value. Time does not depend on the values: one below the type's least normal
        number is given as zero.
        """
        array, result = _floats(shape, dtype, out)
        self.fill_laplace(array, _scale(scale, array.dtype), threads)
        return result

    def uniform(
        self,
        shape: Shape,
        *,
        dtype: npt.DTypeLike,
        out: Any = None,
        threads: int | None = None,
    ) -> Any:
        """Draw uniform floats in [0, 1).

        Exactly uniform on the multiples of 2**-24 (float32) or 2**-53 (float64).

        Parameters
        ----------
        shape : int or tuple of int
            Shape of the result.
        dtype : {float32, float64}
            Its type.
        out : ndarray or CPU tensor of `dtype` and `shape`, optional
            C-contiguous array that receives the values.
        threads : int, optional
            Most threads to use; they change the speed, never the bits.

        Returns
        -------
        ndarray or tensor
            `out`, or a new array.

        Raises
        ------
        TypeError
            If `dtype` is neither float32 nor float64, or `out` has another.
        ValueError
            If `out` has another shape, is not contiguous or not writable.
        """
        array, result = _floats(shape, dtype, out)
        self.fill_uniform(array, threads)
        return result

    def integers(
        self,
        high: SupportsIndex,
        shape: Shape,
        *,
        out: Any = None,
        threads: int | None = None,
    ) -> Any:
        """Draw integers from 0 to `high` - 1.

        Uniform within `high` · 2**-128 in total variation, at most 2**-65.

        Parameters
        ----------
        high : int
            One above the largest value, from 1 to 2**63.
        shape : int or tuple of int
            Shape of the result.
        out : ndarray or CPU tensor of int64 and `shape`, optional
            C-contiguous array that receives the values.
        threads : int, optional
            Most threads to use; they change the speed, never the bits.

        Returns
        -------
        ndarray or tensor of int64
            `out`, or a new array.

        Raises
        ------
        TypeError
            If `out` is not of int64.
        ValueError
            If `high` is outside its range, or `out` has another shape, is not contiguous or not
            writable.

        Notes
        -----
        The product of `high` and 128 random bits, without rejection: 16 random bytes per value
        whatever `high` is, and no branch depends on the value.

        References
        ----------
        D. Lemire, "Fast random integer generation in an interval", arXiv 1805.10941.
        """
        bound = at_least("high", high, 1)
        if bound > 1 << 63:
            raise ValueError(f"high: expected at most 2**63, got {bound}")
        array, result = target("shape", shape, np.int64, out)
        self.fill_integers(array, bound, threads)
        return result

    def bernoulli(
        self, q: float, shape: Shape, *, out: Any = None, threads: int | None = None
    ) -> Any:
        """Flip coins that come up True with probability `q`.

        The probability is ceil(`q` · 2**64) / 2**64 exactly, and 1 for `q` = 1: the Poisson
        sample of a subsampled mechanism.

        Parameters
        ----------
        q : float
            Probability of True, from 0 to 1.
        shape : int or tuple of int
            Shape of the result.
        out : ndarray or CPU tensor of bool and `shape`, optional
            C-contiguous array that receives the values.
        threads : int, optional
            Most threads to use; they change the speed, never the bits.

        Returns
        -------
        ndarray or tensor of bool
            `out`, or a new array.

        Raises
        ------
        TypeError
            If `out` is not of bool.
        ValueError
            If `q` is not between 0 and 1, or `out` has another shape, is not contiguous or not
            writable.

        Notes
        -----
        Costs 8 random bytes per value. Time does not depend on the values.
        """
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"q: expected a probability between 0 and 1, got {q}")
        array, result = target("shape", shape, np.bool_, out)
        threshold = math.ceil(Fraction(q) * (1 << 64))
        if threshold == 1 << 64:
            array.fill(True)
        else:
            self.fill_bernoulli(array, threshold, threads)
        return result

    def permutation(self, n: SupportsIndex) -> npt.NDArray[np.int64]:
        """Draw an order of 0, …, `n` - 1.

        Uniform within `n`² · 2**-129 in total variation.

        Parameters
        ----------
        n : int
            Number of elements, at least 0.

        Returns
        -------
        ndarray of int64, shape (n,)
            Each of 0 to `n` - 1 once.

        Raises
        ------
        ValueError
            If `n` is negative.

        Notes
        -----
        Fisher-Yates with the integers of `integers`, on one thread. Memory addresses depend on
        the result: it is not constant time against an observer of the cache.
        """
        order = np.empty(at_least("n", n, 0), np.int64)
        self.fill_permutation(order)
        return order

    def __repr__(self) -> str:
        return f"<veil.random.SecureGenerator seeded={self.seeded} key=(redacted)>"

    def __copy__(self) -> NoReturn:
        raise TypeError(
            "a SecureGenerator cannot be copied: both would draw the same; make a new one"
        )

    def __deepcopy__(self, memo: object) -> NoReturn:
        self.__copy__()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            "a SecureGenerator cannot be pickled: the pickle would hold its key; make one in each "
            "process"
        )


def _scale(scale: float, dtype: np.dtype[Any]) -> float:
    limits = np.finfo(dtype)
    largest = float(limits.max) / 64  # a draw reaches 46 times the scale
    if not float(limits.tiny) <= scale <= largest:
        raise ValueError(f"scale: expected a number in [{limits.tiny}, {largest}], got {scale}")
    return float(scale)


def _floats(shape: Shape, dtype: npt.DTypeLike, out: Any) -> tuple[npt.NDArray[Any], Any]:
    wanted = np.dtype(dtype)
    if wanted not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise TypeError(f"dtype: expected float32 or float64, got {wanted}")
    return target("shape", shape, wanted, out)
