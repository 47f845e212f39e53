"""PlainSum: the sites' vectors summed in clear, with the same bits in any order of arrival."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from veil.errors import DataError, ProtocolError
from veil.fl.layout import Layout
from veil.fl.records import Sum
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
    A float64 lattice sum (`weighted_mean`): its bits do not depend on the order in which sites
    arrive. Memory: 8 bytes per value and site, freed when the round closes.
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
            Not used: nothing is masked.
        individual : bool
            Keep each vector for ``Sum.updates``.
        """
        self._layout = layout
        self._pending = tuple(site_ids)
        self._weights: dict[str, float | None] = {}
        self._individual = individual
        self._vectors: dict[str, NDArray[np.float64]] = {}
        self._bytes = 0

    def add(self, site: str, vector: NDArray[np.floating], weight: float | None) -> None:
        """Take one site's upload.

        Parameters
        ----------
        site : str
            Its id.
        vector : ndarray of shape (size,)
            Its vector, of the layout's dtype; copied.
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
        self._vectors[site] = vector.astype(np.float64)
        self._weights[site] = weight
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
        vectors, self._vectors = self._vectors, {}
        if not vectors:
            raise DataError("updates: expected at least one site's upload, got none")
        given = [weight for weight in self._weights.values() if weight is not None]
        weight = math.fsum(given) if given else None
        if weight == 0:
            raise DataError("weights: expected one above zero, all are zero")
        mean = weighted_mean(
            list(vectors.values()), given or [1.0] * len(vectors), threads=self._threads
        )
        updates = {site: v.astype(self._layout.dtype) for site, v in vectors.items()}
        return Sum(
            total=mean * (len(vectors) if weight is None else weight),
            weight=weight,
            survivors=tuple(sorted(vectors)),
            updates=updates if self._individual else None,
        )


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
