"""Minibatches of one site's rows, from the site's own stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from veil.random import SecureGenerator


def minibatches(
    n: int, batch_size: int | None, epochs: int, rng: SecureGenerator
) -> Iterator[slice | NDArray[Any]]:
    """Yield the rows of each step: a new permutation per epoch, the last batch may be short."""
    for _ in range(epochs):
        if batch_size is None or batch_size >= n:
            yield slice(None)
            continue
        order = rng.permutation(n)
        for start in range(0, n, batch_size):
            yield order[start : start + batch_size]
