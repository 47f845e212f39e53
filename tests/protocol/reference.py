"""Thresholds and room for noise as they are defined, one candidate after the other.

They take minutes or for ever for some inputs, and are what `veil.secagg` did before.
"""

import math
from fractions import Fraction

from veil.secagg.graph import Degree, full_graph_threshold


def every_degree(n, corrupt, dropout, adversary):
    for k in range(2, n - 1, 2):
        t1 = most_corrupt_neighbours(n, corrupt, k)
        if adversary == "malicious":
            t1 = math.ceil((t1 + k - 1.25) / 2)
        live = fewest_live_neighbours(n, dropout, k)
        if t1 < live and stays_connected(n, corrupt + dropout, k):
            return Degree(k, max(t1 + 1, 2))
    return Degree(
        n - 1, full_graph_threshold(n, corrupt=corrupt, dropout=dropout, adversary=adversary)
    )


def stays_connected(n, missing, k):
    if k > missing:
        return True
    ways = Fraction(math.perm(missing, k), math.perm(n, k))
    return Fraction(n * (n - k - 1), 2) * ways < Fraction(1, 1 << 41)


def weights(n, marked, k):
    """C(marked, x)·C(n - marked, k - x) for x = 0…k."""
    return [math.comb(marked, x) * math.comb(n - marked, k - x) for x in range(k + 1)]


def most_corrupt_neighbours(n, corrupt, k):
    """Least x with P[Hyp(n, corrupt, k) > x] <= 2^-41 / n."""
    allowed, tail = math.comb(n, k) // (n << 41), 0
    for x, weight in reversed(list(enumerate(weights(n, corrupt, k)))):
        tail += weight
        if tail > allowed:
            return x
    return 0


def fewest_live_neighbours(n, dropout, k):
    """Greatest x with P[Hyp(n, n - dropout, k) < x] <= 2^-20 / n."""
    allowed, below = math.comb(n, k) // (n << 20), 0
    for x, weight in enumerate(weights(n, n - dropout, k)):
        below += weight
        if below > allowed:
            return x
    return k


def headroom_by_one(share, clients):
    """Least bound that Chernoff allows from 12 deviations on; no bound at all if variance is huge,
    where this difference of large numbers never gets so far."""
    most, variance = math.ceil(12.0 * math.sqrt(clients) * share.sigma), clients * share.sigma**2
    while share.distribution == "skellam" and not (
        most * math.asinh(most / variance) - math.hypot(most, variance) + variance
        > 101 * math.log(2.0)
    ):
        most += 1
    return most
