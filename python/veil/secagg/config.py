"""What all parties of a session agree on, and the thresholds that follow from who takes part."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

from veil.errors import TooFewSurvivors
from veil.fixed_point import FixedPoint
from veil.secagg.graph import (
    Adversary,
    choose_graph,
    count_of,
    full_graph_threshold,
    share_of,
)
from veil.secagg.noise import NoiseShare

__all__ = ["Config", "Thresholds"]

Kem = Literal["x25519-mlkem768", "x25519"]
Cipher = Literal["aes256-ctr", "chacha20"]
GraphKind = Literal["full", "k-regular"]

# Below this the sparse graph saves little and its bounds are loose.
_SPARSE_FROM = 100
_MAX_CLIENTS = 65535  # points of the secret sharing
_CHOICES: dict[str, tuple[str, ...]] = {
    "adversary": ("honest-but-curious", "malicious"),
    "masking": ("pairwise",),
    "graph": ("full", "k-regular"),
    "kem": ("x25519-mlkem768", "x25519"),
    "cipher": ("aes256-ctr", "chacha20"),
}
_TYPES: dict[str, tuple[type, ...]] = {
    "n": (int,),
    "dropout": (float, int),
    "corrupt": (int,),
    "min_survivors": (int, type(None)),
    "codec": (FixedPoint,),
    "length": (int,),
    "weight_max": (int, type(None)),
    "noise": (NoiseShare, type(None)),
}


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
class Config:
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
        Elements of each client's vector, at least 1.
    weight_max : int or None
        Greatest weight of a client's vector; None: the sum is unweighted and no count is sent.
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

    n: int
    dropout: float
    corrupt: int
    adversary: Adversary
    min_survivors: int | None
    masking: Literal["pairwise"]
    graph: GraphKind
    codec: FixedPoint
    length: int
    weight_max: int | None
    kem: Kem
    cipher: Cipher
    noise: NoiseShare | None = None

    def __post_init__(self) -> None:
        self._check_types()
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: expected one of {choices}, got {getattr(self, name)!r}")
        if not 3 <= self.n <= _MAX_CLIENTS:
            raise ValueError(f"n: expected 3 to {_MAX_CLIENTS} clients, got {self.n}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: expected a fraction below 1, got {self.dropout}")
        if not 0 <= self.corrupt < self.n:
            raise ValueError(f"corrupt: expected 0 to {self.n - 1}, got {self.corrupt}")
        if self.length < 1:
            raise ValueError(f"length: expected at least 1 element, got {self.length}")
        if self.weight_max is not None and self.weight_max < 1:
            raise ValueError(f"weight_max: expected None or at least 1, got {self.weight_max}")
        if self.codec.max_summands < self.n:
            raise ValueError(
                f"codec: expected max_summands of at least n = {self.n}, got "
                f"{self.codec.max_summands}; the ring would overflow"
            )
        self._check_noise()
        self.thresholds(self.n)

    def _check_types(self) -> None:
        """Refuse what a foreign configuration may hold: a NaN is not below any threshold."""
        for name, kinds in _TYPES.items():
            value = getattr(self, name)
            if not isinstance(value, kinds) or isinstance(value, bool):
                names = " or ".join(kind.__name__ for kind in kinds)
                raise TypeError(f"{name}: expected {names}, got {type(value).__name__}")

    def _check_noise(self) -> None:
        if self.noise is None:
            return
        if self.weight_max is not None:
            raise ValueError(
                f"weight_max: expected None with noise, got {self.weight_max}; the exact sum of "
                "weights would be a release without noise"
            )
        needed = self.noise.headroom(self.n)
        if self.codec.noise < needed:
            raise ValueError(
                f"codec: expected noise of at least {needed} lattice units in a sum of {self.n}, "
                f"got {self.codec.noise}; the ring would overflow"
            )

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
        if n < 1:
            raise ValueError(f"n: expected 3 to {_MAX_CLIENTS} clients, got {n}")
        fraction = count_of(n, dropout, "dropout") / n if isinstance(dropout, int) else dropout
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
        """Elements in front of the vector that carry the weight, base ``2**codec.bits``."""
        if self.weight_max is None:
            return 0
        return -(-self.weight_max.bit_length() // self.codec.bits)

    @property
    def masked_length(self) -> int:
        """Ring elements that a client sends."""
        return self.weight_limbs + self.length

    @property
    def masked_bytes(self) -> int:
        """Bytes of a client's masked vector on the wire."""
        return -(-self.masked_length * self.codec.ring_bits // 8)

    def digest(self) -> bytes:
        """Hash the configuration: part of the session id, so all parties must agree.

        Returns
        -------
        bytes
            SHA-256 of its canonical JSON, 32 bytes.
        """
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(b"veil/secagg-config/1" + text.encode()).digest()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        noise = None if self.noise is None else self.noise.to_dict()
        return {**fields, "codec": self.codec.to_dict(), "noise": noise}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """Inverse of `to_dict`; checks every value.

        Raises
        ------
        ValueError
            If a field is missing, unknown or out of range.
        TypeError
            If a value is of another type.
        """
        if set(values) != set(cls.__slots__):
            wrong = sorted(set(values) ^ set(cls.__slots__))
            raise ValueError(f"expected the fields {cls.__slots__}; missing or unknown: {wrong}")
        codec = FixedPoint.from_dict(values["codec"])
        noise = None if values["noise"] is None else NoiseShare.from_dict(values["noise"])
        return cls(**{**cast("dict[str, Any]", values), "codec": codec, "noise": noise})
