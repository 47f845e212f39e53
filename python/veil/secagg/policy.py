"""What a client accepts, decided at its own site and never by the server."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from veil.errors import PolicyRefused
from veil.fixed_point import FixedPoint
from veil.secagg.config import Config, Thresholds
from veil.secagg.noise import NoiseShare
from veil.secagg.replay import MemoryReplayGuard, ReplayGuard

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

__all__ = ["Policy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Local limits of one client; anything outside them is refused with PolicyRefused.

    Parameters
    ----------
    min_cohort : int
        Fewest participants of round 0.
    min_survivors : int
        Fewest inputs of a sum that this client helps to open.
    max_corrupt : int
        Clients that may collude with the server; a configuration that guards against fewer is
        refused.
    roster : mapping of int to Ed25519PublicKey, optional
        Every member's identity key, obtained out of band. Given: only a malicious-server session
        among these members is accepted. Left out: only an honest-but-curious one.
    codec : FixedPoint, optional
        The only codec accepted: clip, bits, rounding and ring. Left out: any.
    noise : NoiseShare, optional
        The only share of noise accepted. Left out: any, and none.
    kems : tuple of str, default ("x25519-mlkem768",)
        Key agreements accepted; "x25519" alone is not post-quantum.
    ciphers : tuple of str, default ("aes256-ctr", "chacha20")
        Mask keystreams accepted.
    graphs : tuple of str, default ("full", "k-regular")
        Graphs accepted.
    max_length : int, default 2**31
        Longest vector accepted, elements.
    replay : ReplayGuard, optional
        Remembers used labels and steps; in memory if left out. States that are restored in another
        process need a `FileReplayGuard`.
    """

    min_cohort: int
    min_survivors: int
    max_corrupt: int
    roster: Mapping[int, Ed25519PublicKey] | None = None
    codec: FixedPoint | None = None
    noise: NoiseShare | None = None
    kems: tuple[str, ...] = ("x25519-mlkem768",)
    ciphers: tuple[str, ...] = ("aes256-ctr", "chacha20")
    graphs: tuple[str, ...] = ("full", "k-regular")
    max_length: int = 1 << 31
    replay: ReplayGuard = field(default_factory=MemoryReplayGuard, repr=False, compare=False)

    def check_config(self, config: Config) -> None:
        """Refuse a configuration that this policy does not allow.

        Parameters
        ----------
        config : Config
            What the session was set up with.

        Raises
        ------
        PolicyRefused
            If some field is outside the limits; the message names it.
        """
        _require("corrupt", config.corrupt >= self.max_corrupt, f"at least {self.max_corrupt}",
                 config.corrupt)  # fmt: skip
        wanted = "honest-but-curious" if self.roster is None else "malicious"
        _require("adversary", config.adversary == wanted, wanted, config.adversary)
        _require("kem", config.kem in self.kems, self.kems, config.kem)
        _require("cipher", config.cipher in self.ciphers, self.ciphers, config.cipher)
        _require("graph", config.graph in self.graphs, self.graphs, config.graph)
        _require("length", config.length <= self.max_length, f"at most {self.max_length}",
                 config.length)  # fmt: skip
        if self.codec is not None:
            _require("codec", config.codec == self.codec, self.codec, config.codec)
        if self.noise is not None:
            _require("noise", config.noise == self.noise, self.noise, config.noise)

    def check_cohort(self, ids: Collection[int], thresholds: Thresholds) -> None:
        """Refuse a cohort that is too small or holds strangers.

        Parameters
        ----------
        ids : collection of int
            Participants of round 0.
        thresholds : Thresholds
            What follows from their number.

        Raises
        ------
        PolicyRefused
            If some limit is not met; the message names it.
        """
        _require("participants", len(ids) >= self.min_cohort, f"at least {self.min_cohort}",
                 len(ids))  # fmt: skip
        if self.roster is not None:
            strangers = sorted(set(ids) - set(self.roster))
            _require("participants", not strangers, "members of the roster only", strangers)
        enough = thresholds.min_survivors >= self.min_survivors
        _require("min_survivors", enough, f"at least {self.min_survivors}",
                 thresholds.min_survivors)  # fmt: skip


def _require(name: str, allowed: bool, expected: object, got: object) -> None:
    if not allowed:
        raise PolicyRefused(f"{name}: this client's policy expects {expected}, got {got}")
