"""SecureSum: the sites' vectors summed by secure aggregation; the server sees the sum alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from veil._checks import whole_or_none
from veil.errors import DataError, ProtocolError
from veil.fixed_point import FixedPoint
from veil.fl.aggregate import check_upload
from veil.fl.layout import Layout
from veil.fl.records import Sum
from veil.random import SecureGenerator
from veil.secagg import Client, Config, NoiseShare, Policy, Server
from veil.secagg.graph import Adversary, amount_of

__all__ = ["SecureSum"]

Dropouts = Callable[[int], Mapping[str, int]]
"""From the number of a training round to the sites that vanish, each from which protocol round."""

_NEVER = 5  # the protocol has rounds 0 to 4


class SecureSum:
    """Sum updates with `veil.secagg`, every party in this process.

    In each round the server learns the sum, who took part, and, when weighted, the sum of the
    weights; see `veil.secagg.Client` for the assumptions. Values are clipped to the codec's range
    and rounded to its lattice.

    Parameters
    ----------
    codec : FixedPoint
        Numbers to ring elements; its ``max_summands`` is at least the number of sites.
    dropout : int, float or None
        Sites that may vanish in a round: a count, or a fraction; None: as many as leave
        `min_survivors`.
    corrupt : int or float
        Sites that may collude with the server: a count, or a fraction.
    adversary : {"honest-but-curious", "malicious"}
        Whether the server is trusted to follow the protocol; "malicious" adds signatures under
        identity keys that are made here and pinned at every site.
    min_survivors : int or None
        Refuse to open a sum of fewer sites; None: the sites less the dropouts allowed.
    weight_max : int or None
        Greatest weight of a site (for example its most rows); None: weights must be None.
    noise : NoiseShare or None, default None
        The share of noise in each upload (`DistributedDP` draws it); uploads are lattice points
        then.
    rng : SecureGenerator, optional
        For stochastic rounding; fresh entropy if left out.
    dropouts : callable, optional
        For simulation: from the number of a training round to ``{site: protocol round}``, the
        sites that send nothing from that round of the protocol (0 to 4) on.
    threads : int, optional
        Most threads for unmasking.

    Raises
    ------
    ValueError
        If neither `dropout` nor `min_survivors` is given.

    Notes
    -----
    Memory: a masked vector at a time, and 8 bytes per value for the sum.
    """

    def __init__(
        self,
        *,
        codec: FixedPoint,
        dropout: int | float | None,
        corrupt: int | float,
        adversary: Adversary,
        min_survivors: int | None,
        weight_max: int | None,
        noise: NoiseShare | None = None,
        rng: SecureGenerator | None = None,
        dropouts: Dropouts | None = None,
        threads: int | None = None,
    ) -> None:
        if dropout is None and min_survivors is None:
            raise ValueError("dropout, min_survivors: expected one of them, got None for both")
        self._codec = codec
        self._limits: dict[str, Any] = {
            "dropout": None if dropout is None else amount_of("dropout", dropout),
            "corrupt": amount_of("corrupt", corrupt),
            "adversary": adversary,
            "min_survivors": whole_or_none("min_survivors", min_survivors),
            "weight_max": whole_or_none("weight_max", weight_max),
            "noise": noise,
        }
        self._rng = rng
        self._dropouts = dropouts
        self._threads = threads
        self._identities: dict[str, Ed25519PrivateKey] = {}
        self._session: _Session | None = None
        self._moved = (0, 0)

    @property
    def sees_individual_updates(self) -> bool:
        """False: that is the point."""
        return False

    def config(self, *, sites: int, length: int) -> Config:
        """Return what all parties of a round agree on.

        Parameters
        ----------
        sites : int
            Number of sites that may upload.
        length : int
            Values of an upload.

        Returns
        -------
        Config
            The protocol's configuration.

        Raises
        ------
        ValueError
            If no threshold fits the number of sites, or the codec does not.
        """
        limits = dict(self._limits)
        if limits["dropout"] is None:
            limits["dropout"] = max(0, sites - limits["min_survivors"])
        return Config.for_cohort(sites, codec=self._codec, length=length, **limits)

    @property
    def bytes_moved(self) -> tuple[int, int]:
        """Bytes of all messages of the last round, from the sites and to them."""
        return self._moved

    def open(
        self,
        layout: Layout,
        site_ids: Sequence[str],
        *,
        round: int,
        context: bytes,
        individual: bool = False,
    ) -> None:
        """Begin a round: agree on keys and share the seeds.

        Parameters
        ----------
        layout : Layout
            Of the uploads.
        site_ids : sequence of str
            Sites that may upload, each once.
        round : int
            Number of the training round.
        context : bytes
            `veil.secagg.context` of all that reaches the sites' training.
        individual : bool
            Whether single updates are asked for; refused.

        Raises
        ------
        ProtocolError
            If single updates are asked for, or too few sites are left to go on.
        ValueError
            If no threshold fits the number of sites.
        """
        if individual:
            raise ProtocolError("updates: secure aggregation keeps single updates from the server")
        config = self.config(sites=len(site_ids), length=layout.size)
        if config.adversary == "malicious":
            for site in site_ids:
                self._identities.setdefault(site, Ed25519PrivateKey.generate())
        gone = dict(self._dropouts(round)) if self._dropouts else {}
        self._session = _Session(config, layout, site_ids, round, context, self._identities, gone)
        self._session.share()

    def add(self, site: str, vector: NDArray[np.floating[Any]], weight: float | None) -> None:
        """Mask one site's upload and add it to the sum.

        Parameters
        ----------
        site : str
            Its id.
        vector : ndarray of shape (size,)
            Its vector, of the layout's dtype; not kept.
        weight : float or None
            A whole number from 1 to `weight_max`, or None when the sum is unweighted.

        Raises
        ------
        DataError
            If the vector does not fit the layout, or the weight is not a whole number in range.
        ProtocolError
            If no round is open, or the site does not belong to it.
        """
        session = self._require()
        check_upload(site, session.layout, vector, weight)
        session.mask(site, vector, _whole(site, weight), self._rng)

    def close(self) -> Sum:
        """Open the sum of the sites whose vector came.

        Returns
        -------
        Sum
            Total, weight and survivors.

        Raises
        ------
        TooFewSurvivors
            If fewer are left than the thresholds ask for.
        ProtocolError
            If no round is open.
        """
        session = self._require()
        self._session = None
        opened = session.open_sum(self._threads)
        self._moved = (session.bytes_up, session.bytes_down)
        survivors = tuple(sorted(session.names[client] for client in opened.survivors))
        if opened.weight is None:
            return Sum(opened.total, None, survivors)
        total = opened.total
        total *= opened.weight  # in place: the result is the only array of its size
        return Sum(total, float(opened.weight), survivors)

    def _require(self) -> _Session:
        if self._session is None:
            raise ProtocolError("expected an open round; call open first")
        return self._session


class _Session:
    """One round: the clients, the server, and the bytes between them."""

    def __init__(
        self,
        config: Config,
        layout: Layout,
        site_ids: Sequence[str],
        round_number: int,
        context: bytes,
        identities: Mapping[str, Ed25519PrivateKey],
        gone: Mapping[str, int],
    ) -> None:
        self.layout = layout
        self.names = dict(enumerate(sorted(site_ids)))
        self._ids = {site: client for client, site in self.names.items()}
        self._context = context
        self._last_round = {self._ids[site]: when for site, when in gone.items()}
        self.bytes_up = self.bytes_down = 0
        keys = {self._ids[site]: key for site, key in identities.items() if site in self._ids}
        self._roster = {client: key.public_key() for client, key in keys.items()} or None
        self._clients = {
            client: Client(
                config,
                client,
                keys.get(client),
                self._policy(config),
                run_id="simulate",
                round_number=round_number,
            )
            for client in self.names
        }
        self._server = Server(
            config, run_id="simulate", round_number=round_number, roster=self._roster
        )
        self._malicious = config.adversary == "malicious"
        self._relay: dict[int, bytes] = {}

    def _policy(self, config: Config) -> Policy:
        thresholds = config.thresholds(config.n)
        return Policy.for_config(
            config,
            min_cohort=3,
            min_survivors=min(thresholds.min_survivors, config.min_survivors or 2),
            roster=self._roster,
        )

    def share(self) -> None:
        """Play rounds 0 and 1."""
        adverts = {c: client.advertise() for c, client in self._alive(0, self._clients).items()}
        rosters = self._down(self._server.collect_keys(self._up(adverts)))
        shares = {c: self._clients[c].share(m) for c, m in self._alive(1, rosters).items()}
        self._relay = self._down(self._server.relay_shares(self._up(shares)))

    def mask(
        self,
        site: str,
        vector: NDArray[np.floating[Any]],
        weight: int | None,
        rng: SecureGenerator | None,
    ) -> None:
        """Play round 2 of one site."""
        if site not in self._ids:
            raise ProtocolError(f"site {site!r}: does not belong to this round")
        client = self._ids[site]
        if client not in self._alive(2, self._relay):
            return
        message = self._clients[client].mask(
            self._relay[client],
            vector,
            context=self._context,
            weight=weight,
            rng=rng,
        )
        self._server.add_vector(client, self._up({client: message})[client])

    def open_sum(self, threads: int | None) -> Any:
        """Play rounds 2 to 4 once all vectors are in."""
        replies = self._down(self._server.collect_vectors({}))
        if self._malicious:
            signed = {c: self._clients[c].confirm(m) for c, m in self._alive(3, replies).items()}
            replies = self._down(self._server.collect_confirmations(self._up(signed)))
        opened = {c: self._clients[c].unmask(m) for c, m in self._alive(4, replies).items()}
        return self._server.finish(self._up(opened), threads=threads)

    def _alive(self, round_number: int, messages: Mapping[int, Any]) -> dict[int, Any]:
        return {c: m for c, m in messages.items() if self._last_round.get(c, _NEVER) > round_number}

    def _up(self, messages: dict[int, bytes]) -> dict[int, bytes]:
        self.bytes_up += sum(map(len, messages.values()))
        return messages

    def _down(self, messages: dict[int, bytes]) -> dict[int, bytes]:
        self.bytes_down += sum(map(len, messages.values()))
        return messages


def _whole(site: str, weight: float | None) -> int | None:
    if weight is None:
        return None
    if weight != int(weight):
        raise DataError(f"site {site!r}: weight: expected a whole number, got {weight!r}")
    return int(weight)
