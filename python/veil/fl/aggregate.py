"""PlainSum: the sites' vectors summed in clear, with the same bits in any order of arrival."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from veil.errors import DataError, ProtocolError
from veil.fl.accumulate import Accumulator
from veil.fl.layout import Layout
from veil.fl.protocols import Sum
from veil.fl.reduce import weighted_mean

__all__ = ["PlainSum", "check_upload"]


class PlainSum:
    """Sum updates in clear: the server sees each site's vector.

    Parameters
    ----------
    threads : int, optional
        Most threads to use; they change the speed, never the bits.

    Notes
    -----
    A float64 lattice sum: its bits do not depend on the order in which sites arrive. float32
    vectors are added as they come and forgotten (`Accumulator`: 16 bytes per value, error at most
    2**-40 of the largest product near an element). float64 vectors, whose digits that would cut,
    are held until the round closes (`weighted_mean`: 8 bytes per value and site, error 2**-50).
    """

    def __init__(self, *, threads: int | None = None) -> None:
        self._threads = threads
        self._pending: tuple[str, ...] | None = None
        self._bytes = 0

    @property
    def sees_individual_updates(self) -> bool:
        """True: the server reads every vector."""
        return True

    @property
    def bytes_moved(self) -> tuple[int, int]:
        """Bytes of vectors and weights from the sites in the last round; nothing goes to them."""
        return self._bytes, 0

    def open(
        self,
        layout: Layout,
        site_ids: Sequence[str],
        *,
        round: int,
        context: bytes,
        individual: bool = False,
    ) -> None:
        """Begin a round; what an earlier, unfinished round held is dropped.

        Parameters
        ----------
        layout : Layout
            Of the uploads.
        site_ids : sequence of str
            Sites that may upload, each once.
        round : int
            Number of the round; not used.
        context : bytes
            Digest of the model; not used: nothing is masked.
        individual : bool
            Keep each vector for ``Sum.updates``.
        """
        self._layout = layout
        self._pending = tuple(site_ids)
        self._weights: dict[str, float | None] = {}
        self._updates: dict[str, NDArray[np.floating]] | None = {} if individual else None
        self._sum = _Held() if layout.dtype == np.float64 else _Running(layout.size)
        self._bytes = 0

    def add(self, site: str, vector: NDArray[np.floating], weight: float | None) -> None:
        """Take one site's upload.

        Parameters
        ----------
        site : str
            Its id.
        vector : ndarray of shape (size,)
            Its vector, of the layout's dtype; the caller may reuse it.
        weight : float or None
            Its weight, ≥ 0; None for all sites or for none.

        Raises
        ------
        DataError
            If shape or dtype differ from the layout, a value is not finite, or the weight is
            negative, not finite, or None where others have one. The message names the site.
        ProtocolError
            If no round is open, the site does not belong to it, or it has uploaded already.
        """
        if self._pending is None:
            raise ProtocolError("add: expected an open round; call open first")
        if site not in self._pending or site in self._weights:
            what = "a second upload" if site in self._weights else "an unknown site"
            raise ProtocolError(f"site {site!r}: expected one upload of each site, got {what}")
        check_upload(site, self._layout, vector, weight)
        if any((other is None) != (weight is None) for other in self._weights.values()):
            raise DataError(f"site {site!r}: weight: expected one for every site, or for none")
        self._sum.add(vector, 1.0 if weight is None else weight, self._threads)
        self._weights[site] = weight
        if self._updates is not None:
            self._updates[site] = vector.copy()
        self._bytes += vector.nbytes + (0 if weight is None else 8)

    def close(self) -> Sum:
        """End the round.

        Returns
        -------
        Sum
            Total, weight and survivors.

        Raises
        ------
        DataError
            If nobody uploaded, or all weights are zero.
        ProtocolError
            If no round is open.
        """
        if self._pending is None:
            raise ProtocolError("close: expected an open round; call open first")
        self._pending = None
        if not self._weights:
            raise DataError("updates: expected at least one site's upload, got none")
        given = [weight for weight in self._weights.values() if weight is not None]
        weight = math.fsum(given) if given else None
        if weight == 0:
            raise DataError("weights: expected one above zero, all are zero")
        scale = len(self._weights) if weight is None else weight
        return Sum(
            total=self._sum.mean(self._threads) * scale,
            weight=weight,
            survivors=tuple(sorted(self._weights)),
            updates=self._updates,
        )


class _Running:
    """A mean of vectors that are forgotten once added."""

    def __init__(self, size: int) -> None:
        self._accumulator = Accumulator(size)

    def add(self, vector: NDArray[np.floating], weight: float, threads: int | None) -> None:
        self._accumulator.add(np.ascontiguousarray(vector), weight, threads=threads)

    def mean(self, threads: int | None) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = self._accumulator.mean(threads=threads)
        return mean


class _Held:
    """A mean of vectors that are kept until it is asked for."""

    def __init__(self) -> None:
        self._vectors: list[NDArray[np.floating]] = []
        self._weights: list[float] = []

    def add(self, vector: NDArray[np.floating], weight: float, threads: int | None) -> None:
        self._vectors.append(vector.copy())
        self._weights.append(weight)

    def mean(self, threads: int | None) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = weighted_mean(self._vectors, self._weights, threads=threads)
        self._vectors.clear()
        return mean


def check_upload(
    site: str, layout: Layout, vector: NDArray[np.floating], weight: float | None
) -> None:
    """Refuse an upload that does not fit, naming its site.

    Parameters
    ----------
    site : str
        Its id.
    layout : Layout
        Of the uploads.
    vector : ndarray
        Expected of the layout's size and dtype, finite.
    weight : float or None
        Expected finite and ≥ 0.

    Raises
    ------
    DataError
        If one of these does not hold.
    """
    if not isinstance(vector, np.ndarray) or vector.dtype != layout.dtype:
        got = vector.dtype if isinstance(vector, np.ndarray) else type(vector).__name__
        raise DataError(f"site {site!r}: update: expected {layout.dtype}, got {got}")
    if vector.shape != (layout.size,):
        raise DataError(
            f"site {site!r}: update: expected shape ({layout.size},), got {vector.shape}; all "
            "sites must train one model"
        )
    if not np.isfinite(vector).all():
        raise DataError(
            f"site {site!r}: update: has NaN or infinite values; its training diverged, lower the "
            "learning rate or scale its data"
        )
    if weight is not None and not (math.isfinite(weight) and weight >= 0):
        raise DataError(f"site {site!r}: weight: expected a finite number >= 0, got {weight!r}")
