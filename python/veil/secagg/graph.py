"""Who shares secrets with whom: degree and threshold of the k-regular graph, and its edges.

Bell et al. 2020 (eprint 2020/704), with statistical security 2^-40 and correctness 2^-20, and the
full graph of Bonawitz et al. 2017 (eprint 2017/281) where no sparse graph meets the bounds.
"""

import bisect
import functools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from veil._checks import is_whole, whole
from veil.secagg.hypergeometric import is_connected, quantile

__all__ = ["Adversary", "Degree", "Neighbourhood", "choose_graph", "full_graph_threshold"]

Adversary = Literal["honest-but-curious", "malicious"]

_SECURITY_BITS = 41  # 2^-40, split over two events
_CORRECTNESS_BITS = 20


class Degree(NamedTuple):
    """Degree of the graph and the number of shares that recover a secret."""

    k: int
    t: int


def choose_graph(
    n: int, *, corrupt: int | float, dropout: int | float, adversary: Adversary
) -> Degree:
    """Choose the least degree of a random graph that keeps secure aggregation safe and live.

    Parameters
    ----------
    n : int
        Clients in the round, at least 3.
    corrupt : int or float
        Clients that may collude with the server: a count (int) or a fraction below 1 (float).
    dropout : int or float
        Clients that may vanish: a count (int) or a fraction below 1 (float).
    adversary : {"honest-but-curious", "malicious"}
        Whether the server follows the protocol.

    Returns
    -------
    Degree
        ``(k, t)``. If no sparse graph meets the bounds, the full graph: ``k = n - 1`` and its
        threshold.

    Raises
    ------
    ValueError
        If an argument is out of range, or not even the full graph is safe and live.

    Notes
    -----
    Exact; results are cached. The bounds: the honest survivors stay connected, no neighbourhood
    holds t corrupt clients, each with probability above 1 - 2^-41, and every neighbourhood keeps t
    live ones with probability above 1 - 2^-20. Every input takes some hundredths of a second at
    most: degrees that cannot do are passed over, and close comparisons alone need integers.

    References
    ----------
    J. Bell, K. Bonawitz, A. Gascón, T. Lepoint, M. Raykova, "Secure single-server aggregation with
    (poly)logarithmic overhead", CCS 2020, section 3.

    Examples
    --------
    >>> from veil.secagg import choose_graph
    >>> choose_graph(1000, corrupt=0.05, dropout=0.05, adversary="honest-but-curious")
    Degree(k=30, t=17)
    """
    n = whole("n", n)
    if n < 3:
        raise ValueError(f"n: expected at least 3 clients, got {n}")
    return _choose(n, count_of(n, corrupt, "corrupt"), count_of(n, dropout, "dropout"), adversary)


def count_of(n: int, amount: int | float, name: str) -> int:
    """Turn a count or a fraction of `n` into a count, rounded down."""
    amount = amount_of(name, amount)
    count = amount if isinstance(amount, int) else share_of(n, amount)
    if not 0 <= count < n or (not isinstance(amount, int) and not amount < 1):
        raise ValueError(f"{name}: expected 0 to {n - 1}, or a fraction below 1, got {amount}")
    return count


def amount_of(name: str, amount: int | float) -> int | float:
    """Return a count as ``int`` and a fraction as ``float``: which of them it is, its type says.

    Raises
    ------
    TypeError
        If it is neither.
    """
    if is_whole(amount):
        return operator.index(amount)  # type: ignore[arg-type]
    if not isinstance(amount, float | np.floating):
        raise TypeError(
            f"{name}: expected a count or a fraction below 1, got {type(amount).__name__}"
        )
    return float(amount)


def share_of(n: int, fraction: float) -> int:
    """Return the whole part of a fraction of `n`, also where the product is rounded down."""
    return math.floor(fraction * n * (1.0 + 2.0**-50) + 1e-14)


def full_graph_threshold(n: int, *, corrupt: int, dropout: int, adversary: Adversary) -> int:
    """Shares that recover a secret when every client holds one.

    Raises
    ------
    ValueError
        If no threshold is both safe against `corrupt` clients and live after `dropout` losses.
    """
    live = n - dropout
    if adversary == "malicious":
        # Two disjoint groups of honest clients must not both reach it, corrupt ones voting twice.
        threshold = least = (n + corrupt) // 2 + 1
    else:
        least = max(corrupt, 1) + 1
        threshold = min(max(corrupt, n // 2) + 1, live)
    if threshold < least or threshold > live:
        raise ValueError(
            f"no threshold fits n = {n}, corrupt = {corrupt}, dropout = {dropout}: it must be at "
            f"least {least} to be safe ({adversary}) and at most {live} to survive the dropouts; "
            "allow fewer of either, or invite more clients"
        )
    return threshold


@functools.lru_cache(maxsize=256)
def _choose(n: int, corrupt: int, dropout: int, adversary: Adversary) -> Degree:
    k = _least_connected(n, corrupt + dropout)
    while k < n - 1:
        t1 = quantile(n, corrupt, k, _SECURITY_BITS)
        lost = quantile(n, dropout, k, _CORRECTNESS_BITS)
        # Safe and live: t1 + lost < k. Against a malicious server each holder may be asked for
        # both of a client's secrets, t1 rises to (t1 + k - 1.25)/2, and what is needed is this:
        needed = t1 + 2 * lost if adversary == "malicious" else t1 + lost
        if needed < k:
            if adversary == "malicious":
                t1 = math.ceil((t1 + k - 1.25) / 2)
            return Degree(k, max(t1 + 1, 2))
        # `needed` never falls when k rises, so that no degree up to it is enough.
        k = needed + 1 + (needed + 1) % 2
    return Degree(
        n - 1, full_graph_threshold(n, corrupt=corrupt, dropout=dropout, adversary=adversary)
    )


def _least_connected(n: int, missing: int) -> int:
    """Least even degree at which those who are neither corrupt nor lost stay connected."""
    halves = range(1, (n - 2) // 2 + 1)
    return 2 + 2 * bisect.bisect_left(
        halves, True, key=lambda half: is_connected(n, missing, 2 * half, _SECURITY_BITS)
    )


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The graph of one round: clients on a ring in a given order, joined to the k nearest.

    Parameters
    ----------
    order : tuple of int
        All client ids, by position.
    k : int
        Degree, even, or ``len(order) - 1`` for the full graph.
    """

    order: tuple[int, ...]
    k: int

    @property
    def is_full(self) -> bool:
        """Whether every client is joined to every other."""
        return self.k >= len(self.order) - 1

    def neighbours(self, client: int) -> list[int]:
        """Ids joined to `client`, sorted."""
        n = len(self.order)
        if self.is_full:
            return sorted(other for other in self.order if other != client)
        at = self.order.index(client)
        steps = (s for half in range(1, self.k // 2 + 1) for s in (half, -half))
        return sorted(self.order[(at + step) % n] for step in steps)

    def holders(self, client: int) -> list[int]:
        """Ids that hold shares of the client's secrets: its neighbours, and itself if full."""
        return sorted(self.order) if self.is_full else self.neighbours(client)


def ring_order(ids: Sequence[int], words: Sequence[int]) -> tuple[int, ...]:
    """Fisher-Yates shuffle of `ids` by 64-bit words; the bias of a word is below n / 2^64."""
    order = list(ids)
    for i in range(len(order) - 1, 0, -1):
        j = words[i] * (i + 1) >> 64
        order[i], order[j] = order[j], order[i]
    return tuple(order)
