"""Independent random streams of one run, by purpose, round and site."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from veil._checks import fix_whole, is_whole, whole
from veil.random import SecureGenerator

__all__ = ["Streams"]


@dataclass(frozen=True, slots=True)
class Streams:
    """Where every random draw of a run comes from.

    Parameters
    ----------
    seed : int or None
        Non-negative: every stream is a function of it, for simulation only. None: every stream
        has its own entropy from the operating system.

    Raises
    ------
    ValueError
        If `seed` is negative or has more than 256 bits.

    Notes
    -----
    A stream's key is SHA-256 of seed, purpose, round and site, so what a site draws depends
    neither on the order of sites nor on what others draw.
    """

    seed: int | None

    def __post_init__(self) -> None:
        if self.seed is None:
            return
        if not is_whole(self.seed):
            raise ValueError(f"seed: expected a non-negative int or None, got {self.seed!r}")
        if not 0 <= self.seed < 1 << 256:
            raise ValueError("seed: expected an integer in [0, 2^256)")
        fix_whole(self, "seed")

    @property
    def seeded(self) -> bool:
        """Whether draws repeat, so that they protect nobody."""
        return self.seed is not None

    def get(self, purpose: str, *, round: int = 0, site: str = "") -> SecureGenerator:
        """Return the stream of a purpose in a round at a site.

        Parameters
        ----------
        purpose : str
            For example ``"train"`` or ``"noise"``.
        round : int
            Number of the round.
        site : str
            The site's id; empty at the server.

        Returns
        -------
        SecureGenerator
            Seeded when the run is.
        """
        if self.seed is None:
            return SecureGenerator()
        number = whole("round", round, least=0).to_bytes(8, "little")
        sha = hashlib.sha256(b"veil/simulate/1" + self.seed.to_bytes(32, "little"))
        for field in (purpose.encode(), number, site.encode()):
            sha.update(len(field).to_bytes(8, "little") + field)
        return SecureGenerator.from_seed(sha.digest())
