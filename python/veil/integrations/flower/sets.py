"""Sums over sets of sites that differ by few: what their difference would show."""

from __future__ import annotations

import warnings
from collections.abc import Collection

from veil.errors import VeilWarning

__all__ = ["warn_of_near_sets"]


def warn_of_near_sets(
    survivors: Collection[str], earlier: Collection[frozenset[str]], *, apart: int
) -> None:
    """Warn if an opened set differs from one that was opened before by fewer than `apart` sites."""
    opened = frozenset(survivors)
    near = [other for other in earlier if 0 < len(opened ^ other) < apart]
    if not near:
        return
    nearest = min(near, key=lambda other: len(opened ^ other))
    differ = sorted(opened ^ nearest)
    warnings.warn(
        f"sums were opened over sets of sites that differ by {', '.join(differ)} alone, expected "
        f"at least {apart} (corrupt + 2) or none: two such sums on nearly one model give that "
        "difference's update to whoever sees both; pass privacy=DistributedDP(...), or let sites "
        "refuse it with Policy(min_set_difference=...)",
        VeilWarning,
        stacklevel=3,
    )
