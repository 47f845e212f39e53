"""The running sum in the ring, decoded in the memory that it lives in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from veil.secagg.config import Config
from veil.secagg.masking import ring_dtype

__all__ = ["RingTotal"]

_BLOCK = 1 << 16


class RingTotal:
    """Ring elements at the far end of the buffer that will hold the float64 result.

    Decoding goes forward block by block: element i is written at byte ``8 i``, never beyond the
    first element not yet read, at ``8 n - w (n - i)`` with w <= 8 bytes. So the server needs
    8 bytes per element in all, two vectors of 32-bit words.

    Parameters
    ----------
    config : Config
        Length, weights and codec.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        word = np.dtype(ring_dtype(config))
        result_bytes = 8 * config.length
        self._buffer = np.zeros(result_bytes + word.itemsize * config.weight_limbs, np.uint8)
        size = word.itemsize * config.masked_length
        self.words: NDArray[Any] = self._buffer[self._buffer.size - size :].view(word)

    def weight(self) -> int | None:
        """Sum of the weights, from the element in front; None when unweighted."""
        return None if self._config.weight_max is None else int(self.words[0])

    def decode(self, count: int, factor: float) -> NDArray[np.float64]:
        """Turn the sum of `count` inputs into numbers times `factor`; the words are gone."""
        config = self._config
        result = self._buffer[: 8 * config.length].view(np.float64)
        words = self.words[config.weight_limbs :]
        for start in range(0, config.length, _BLOCK):
            block = words[start : start + _BLOCK].copy()
            result[start : start + block.size] = config.codec.decode_sum(block, count) * factor
        return result
