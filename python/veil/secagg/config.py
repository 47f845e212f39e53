"""What all parties of a session agree on, and the thresholds that follow from who takes part."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

from veil._checks import whole
from veil.errors import TooFewSurvivors
from veil.fixed_point import FixedPoint
from veil.secagg.graph import (
    Adversary,
    amount_of,
    choose_graph,
    count_of,
    full_graph_threshold,
    share_of,
)
from veil.secagg.noise import NoiseShare
from veil.secagg.proposal import MAX_CLIENTS, Cipher, GraphKind, Kem, Proposal

__all__ = ["Config", "Thresholds"]

# Below this the sparse graph saves little and its bounds are loose.
_SPARSE_FROM = 100


class Thresholds(NamedTuple):
    """What follows from a configuration once the number of participants is known.

    Parameters
    ----------
    k : int
        Neighbours of each client.
    t : int
        Shares that recover a secret.
    min_survivors : int
        Fewest inputs of a sum that is opened.
    honest : int
        Fewest honest inputs in it.
    quorum : int
        Signatures on which a client unmasks when the server may be malicious.
    """

    k: int
    t: int
    min_survivors: int
    honest: int
    quorum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Proposal):
    """Parameters of a secure aggregation, the same at the server and at every client.

    Use `for_cohort`; the constructor checks the same things and exists for `from_dict`.

    Parameters
    ----------
    n : int
        Clients invited, 3 to 65535.
    dropout : float
        Fraction of the participants that may vanish, 0 to below 1.
    corrupt : int
        Number of clients that may collude with the server, whatever the number that take part.
    adversary : {"honest-but-curious", "malicious"}
        Whether the server is trusted to follow the protocol.
    min_survivors : int or None
        Refuse to open a sum of fewer inputs; at least ``corrupt + 2``. None: participants less the
        dropouts allowed.
    masking : {"pairwise"}
        How vectors are hidden.
    graph : {"full", "k-regular"}
        Who shares secrets with whom.
    codec : FixedPoint
        Numbers to ring elements and back; its ``max_summands`` is at least `n`, and its ``noise``
        is what `noise` may add up to.
    length : int
        Elements of each client's vector, 1 to 2**31.
    weight_max : int or None
        Greatest weight of a client's vector, at most ``2**(codec.bits - 1) - 1``, so that a weight
        of 1 still counts; None: the sum is unweighted and no count is sent.
    kem : {"x25519-mlkem768", "x25519"}
        Key agreement; the second is not post-quantum and refused by default policies.
    cipher : {"aes256-ctr", "chacha20"}
        Keystream of the masks.
    noise : NoiseShare or None
        The share of noise that is in each client's vector before it is masked. Vectors are lattice
        points then, int64, and the sum must be unweighted: a count would be a release without
        noise.

    Raises
    ------
    ValueError
        If a value is out of range, or no threshold is both safe and live.
    TypeError
        If a value is of another type.
    """

    def __post_init__(self) -> None:
        Proposal.__post_init__(self)
        self._check_noise()
        self.thresholds(self.n)

    def _check_noise(self) -> None:
        if self.noise is None:
            return
        needed = self.noise.headroom(self.n)
        if self.codec.noise < needed:
            raise ValueError(
                f"codec: expected noise of at least {needed} lattice units in a sum of {self.n}, "
                f"got {self.codec.noise}; the ring would overflow"
            )

    @classmethod
    def of(cls, proposal: Proposal) -> Config:
        """Derive what a proposal has not been asked for yet.

        Parameters
        ----------
        proposal : Proposal
            Fields that a policy has compared.

        Returns
        -------
        Config
            Of the same fields.

        Raises
        ------
        ValueError
            If no threshold is both safe and live, or the codec has no room for the noise.
        """
        return cls(**{field.name: getattr(proposal, field.name) for field in fields(proposal)})

    @classmethod
    def for_cohort(
        cls,
        n: int,
        *,
        dropout: int | float,
        corrupt: int | float,
        adversary: Adversary,
        min_survivors: int | None,
        masking: Literal["pairwise"] = "pairwise",
        codec: FixedPoint,
        length: int,
        weight_max: int | None = None,
        graph: GraphKind | None = None,
        kem: Kem = "x25519-mlkem768",
        cipher: Cipher = "aes256-ctr",
        noise: NoiseShare | None = None,
    ) -> Config:
        """Configure a cohort of `n` clients.

        Parameters
        ----------
        n : int
            Clients invited.
        dropout, corrupt : int or float
            How many may vanish, how many may collude with the server: counts, or fractions of `n`.
        adversary : {"honest-but-curious", "malicious"}
            Whether the server is trusted to follow the protocol.
        min_survivors : int or None
            Refuse to open a sum of fewer inputs. None: participants less the dropouts allowed.
        masking : {"pairwise"}, default "pairwise"
            How vectors are hidden.
        codec : FixedPoint
            Numbers to ring elements and back.
        length : int
            Elements of each vector.
        weight_max : int, optional
            Greatest weight of a vector; left out, the sum is unweighted.
        graph : {"full", "k-regular"}, optional
            Left out: full when malicious or below 100 clients, else k-regular.
        kem : {"x25519-mlkem768", "x25519"}, default "x25519-mlkem768"
            Key agreement.
        cipher : {"aes256-ctr", "chacha20"}, default "aes256-ctr"
            Keystream of the masks.
        noise : NoiseShare, optional
            The share of noise in each client's vector; left out, vectors carry none.

        Returns
        -------
        Config
            Checked: some threshold is both safe and live for all `n`.

        Raises
        ------
        ValueError
            If a value is out of range, or no threshold fits.
        """
        n = whole("n", n)
        if n < 1:
            raise ValueError(f"n: expected 3 to {MAX_CLIENTS} clients, got {n}")
        amount = amount_of("dropout", dropout)
        fraction = count_of(n, amount, "dropout") / n if isinstance(amount, int) else amount
        sparse = adversary == "honest-but-curious" and n >= _SPARSE_FROM
        return cls(
            n=n,
            dropout=fraction,
            corrupt=count_of(n, corrupt, "corrupt"),
            adversary=adversary,
            min_survivors=min_survivors,
            masking=masking,
            graph=graph or ("k-regular" if sparse else "full"),
            codec=codec,
            length=length,
            weight_max=weight_max,
            kem=kem,
            cipher=cipher,
            noise=noise,
        )

    def thresholds(self, participants: int) -> Thresholds:
        """Compute the thresholds for a number of participants of round 0.

        Parameters
        ----------
        participants : int
            Clients whose keys were used.

        Returns
        -------
        Thresholds
            Degree, shares, survivors and signatures needed.

        Raises
        ------
        TooFewSurvivors
            If so few took part that no sum may be opened, or no threshold is both safe and live.
        ValueError
            If not even all `n` clients have such a threshold.
        """
        participants = whole("participants", participants)
        try:
            return self._thresholds(participants)
        except ValueError as error:
            if participants == self.n:
                raise
            raise TooFewSurvivors(f"{participants} participants: {error}") from error

    def _thresholds(self, participants: int) -> Thresholds:
        dropouts = share_of(participants, self.dropout)
        survivors = participants - dropouts if self.min_survivors is None else self.min_survivors
        if survivors > participants or participants < 3 or participants <= self.corrupt:
            raise TooFewSurvivors(
                f"expected at least {max(survivors, self.corrupt + 2, 3)} participants, "
                f"got {participants}"
            )
        if survivors < self.corrupt + 2:
            raise ValueError(
                f"min_survivors: expected at least corrupt + 2 = {self.corrupt + 2}, so that two "
                f"honest inputs hide each other, got {survivors}"
            )
        k, t = self._degree(participants, dropouts)
        quorum = (participants + self.corrupt) // 2 + 1
        return Thresholds(k, t, survivors, survivors - self.corrupt, quorum)

    def _degree(self, participants: int, dropouts: int) -> tuple[int, int]:
        if self.graph == "k-regular":
            return choose_graph(
                participants, corrupt=self.corrupt, dropout=dropouts, adversary=self.adversary
            )
        threshold = full_graph_threshold(
            participants, corrupt=self.corrupt, dropout=dropouts, adversary=self.adversary
        )
        return participants - 1, threshold

    @property
    def weight_limbs(self) -> int:
        """Elements in front of the vector that carry the weight: one, or none."""
        return 0 if self.weight_max is None else 1

    @property
    def masked_length(self) -> int:
        """Ring elements that a client sends."""
        return self.weight_limbs + self.length

    @property
    def masked_bytes(self) -> int:
        """Bytes of a client's masked vector on the wire."""
        return -(-self.masked_length * self.codec.ring_bits // 8)
