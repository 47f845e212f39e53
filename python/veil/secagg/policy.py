"""What a client accepts, decided at its own site and never by the server."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from veil._checks import fix_whole
from veil.errors import MalformedMessage, PolicyRefused
from veil.fixed_point import FixedPoint
from veil.secagg.config import Config, Thresholds
from veil.secagg.noise import NoiseShare
from veil.secagg.proposal import Proposal
from veil.secagg.replay import MemoryReplayGuard, ReplayGuard

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

__all__ = ["Policy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Local limits of one client; anything outside them is refused with PolicyRefused.

    Whatever shapes a vector is given here and accepted as given, never as a server would have it:
    the codec, the length, the weights, the noise. `for_config` takes all of it from a configuration
    that the site's operator has read.

    Parameters
    ----------
    min_cohort : int
        Fewest participants of round 0.
    min_survivors : int
        Fewest inputs of a sum that this client helps to open.
    max_corrupt : int
        Clients that may collude with the server; a configuration that guards against fewer is
        refused.
    codec : FixedPoint
        The only codec accepted: clip, bits, summands, rounding and room for noise. A coarser one
        would show which clients are large.
    length : int
        The only length of a vector accepted, elements. On Flower the values of the model and one
        for each metric.
    weight_max : int or None, default None
        The only greatest weight accepted: a larger one would round away all but the heaviest
        client. None: unweighted sums alone, and no count leaves the site.
    noise : NoiseShare or None, default None
        The only share of noise accepted. None: only sessions whose vectors carry none.
    roster : mapping of int to Ed25519PublicKey, optional
        Every member's identity key, obtained out of band. Given: only a malicious-server session
        among these members is accepted. Left out: only an honest-but-curious one.
    dropout_fraction : float, optional
        The only fraction of dropouts accepted. Left out: any, for no fraction lowers a threshold
        below what `min_survivors` and `max_corrupt` ask for.
    kems : tuple of str, default ("x25519-mlkem768",)
        Key agreements accepted; "x25519" alone is not post-quantum.
    ciphers : tuple of str, default ("aes256-ctr", "chacha20")
        Mask keystreams accepted.
    graphs : tuple of str, default ("full", "k-regular")
        Graphs accepted.
    min_set_difference : int, optional
        Fewest clients by which the set of survivors must differ from each other set that this
        client helped to open before, in any run, unless it is the same; at least
        ``max_corrupt + 2``. Sets are remembered from the first session that asks for it, in the
        guard's file: ask from the start, and keep the file. The difference of two sums is a sum
        over the clients in which their sets differ. Recommended for a fixed consortium; it costs
        the rounds in which single clients vanish. Needs a roster and a `FileReplayGuard`. Left out:
        not checked.
    replay : ReplayGuard, optional
        Remembers labels, steps, contexts and sets that were used; in memory if left out. States
        that are restored in another process need a `FileReplayGuard`.

    Raises
    ------
    ValueError
        If the limits contradict each other or the roster: no session could meet them.
    TypeError
        If `codec` is not a FixedPoint, or a number not a whole one.
    """

    min_cohort: int
    min_survivors: int
    max_corrupt: int
    codec: FixedPoint
    length: int
    weight_max: int | None = None
    noise: NoiseShare | None = None
    roster: Mapping[int, Ed25519PublicKey] | None = None
    dropout_fraction: float | None = None
    kems: tuple[str, ...] = ("x25519-mlkem768",)
    ciphers: tuple[str, ...] = ("aes256-ctr", "chacha20")
    graphs: tuple[str, ...] = ("full", "k-regular")
    min_set_difference: int | None = None
    replay: ReplayGuard = field(default_factory=MemoryReplayGuard, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.codec, FixedPoint):
            raise TypeError(f"codec: expected the FixedPoint of the sums, got {self.codec!r}")
        fix_whole(self, "min_cohort", "min_survivors", "max_corrupt", "length", least=0)
        for name in ("weight_max", "min_set_difference"):
            if getattr(self, name) is not None:
                fix_whole(self, name, least=1)
        if self.noise is not None and self.weight_max is not None:
            raise ValueError(
                f"weight_max: expected None with noise, got {self.weight_max}; the exact sum of "
                "weights would be a release without noise"
            )
        if self.min_cohort > self.codec.max_summands:
            raise ValueError(
                f"min_cohort: expected at most the codec's max_summands = "
                f"{self.codec.max_summands}, got {self.min_cohort}"
            )
        if self.roster is not None:
            self._check_roster(self.roster)
        self._check_differences()

    def _check_roster(self, roster: Mapping[int, Ed25519PublicKey]) -> None:
        for name in ("min_cohort", "min_survivors"):
            if getattr(self, name) > len(roster):
                raise ValueError(
                    f"{name}: expected at most {len(roster)}, the members of the roster, got "
                    f"{getattr(self, name)}"
                )
        if self.max_corrupt + 2 > len(roster):
            raise ValueError(
                f"max_corrupt: expected at most {len(roster) - 2}, so that two of the roster's "
                f"{len(roster)} members are honest, got {self.max_corrupt}"
            )
        if len({key.public_bytes_raw() for key in roster.values()}) < len(roster):
            raise ValueError("roster: expected one key for each member, got one under two ids")

    def _check_differences(self) -> None:
        least = self.min_set_difference
        if least is None:
            return
        if self.roster is None:
            raise ValueError(
                "min_set_difference: expected None without a roster, where the server names the "
                f"clients, got {least}"
            )
        if least < self.max_corrupt + 2:
            raise ValueError(
                f"min_set_difference: expected None or at least max_corrupt + 2 = "
                f"{self.max_corrupt + 2}, so that two honest inputs hide each other in a "
                f"difference, got {least}"
            )

    @classmethod
    def for_config(
        cls,
        config: Config,
        *,
        min_cohort: int,
        min_survivors: int,
        roster: Mapping[int, Ed25519PublicKey] | None,
        min_set_difference: int | None = None,
        replay: ReplayGuard | None = None,
    ) -> Policy:
        """Accept sessions of one configuration, which the site's operator has read, and no other.

        Parameters
        ----------
        config : Config
            What is accepted; the number of clients and of corrupt ones may be another where that
            is as safe.
        min_cohort, min_survivors : int
            As for the constructor.
        roster : mapping of int to Ed25519PublicKey or None
            As for the constructor: required if `config` names a malicious server, None if not.
        min_set_difference : int, optional
            As for the constructor.
        replay : ReplayGuard, optional
            As for the constructor.

        Returns
        -------
        Policy
            With every field that shapes a vector or a threshold pinned.

        Raises
        ------
        PolicyRefused
            If the configuration contradicts the roster or `min_cohort`.
        ValueError
            As for the constructor.
        """
        policy = cls(
            min_cohort=min_cohort,
            min_survivors=min_survivors,
            max_corrupt=config.corrupt,
            codec=config.codec,
            length=config.length,
            weight_max=config.weight_max,
            noise=config.noise,
            roster=roster,
            dropout_fraction=config.dropout,
            kems=(config.kem,),
            ciphers=(config.cipher,),
            graphs=(config.graph,),
            min_set_difference=min_set_difference,
            replay=MemoryReplayGuard() if replay is None else replay,
        )
        policy.check_config(config)
        return policy

    def accept(self, values: Mapping[str, Any]) -> Config:
        """Read a configuration that a server proposes.

        Its fields are compared with this policy before anything is computed from them, so that no
        values keep the client busy.

        Parameters
        ----------
        values : mapping of str to object
            As from ``Config.to_dict``, of unknown origin.

        Returns
        -------
        Config
            Checked and allowed.

        Raises
        ------
        MalformedMessage
            If a field is missing, unknown, of another type or out of range.
        PolicyRefused
            If this policy does not allow it.
        """
        try:
            proposal = Proposal.from_dict(values)
            self.check_config(proposal)
            return Config.of(proposal)
        except (TypeError, ValueError) as error:
            raise MalformedMessage(f"config: {error}") from error

    def check_config(self, config: Proposal) -> None:
        """Refuse a configuration that this policy does not allow.

        Parameters
        ----------
        config : Config or Proposal
            What the session was set up with, or is to be: nothing is derived from it.

        Raises
        ------
        PolicyRefused
            If some field is outside the limits; the message names it.
        """
        _require("corrupt", config.corrupt >= self.max_corrupt, f"at least {self.max_corrupt}",
                 config.corrupt)  # fmt: skip
        wanted = "honest-but-curious" if self.roster is None else "malicious"
        _require("adversary", config.adversary == wanted, wanted, config.adversary)
        _require("n", config.n >= self.min_cohort, f"at least {self.min_cohort}", config.n)
        if self.roster is not None:
            members = len(self.roster)
            _require("n", config.n <= members, f"at most {members}, the roster", config.n)
        _require("kem", config.kem in self.kems, self.kems, config.kem)
        _require("cipher", config.cipher in self.ciphers, self.ciphers, config.cipher)
        _require("graph", config.graph in self.graphs, self.graphs, config.graph)
        for name in ("codec", "length", "weight_max", "noise"):
            own, theirs = getattr(self, name), getattr(config, name)
            _require(name, own == theirs, own, theirs)
        fraction = self.dropout_fraction
        if fraction is not None:
            _require("dropout", config.dropout == fraction, fraction, config.dropout)

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
