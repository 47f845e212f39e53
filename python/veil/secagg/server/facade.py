"""The server as its user sees it: one call per round, bytes in and bytes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from veil._checks import whole
from veil.errors import ProtocolError
from veil.secagg.config import Config
from veil.secagg.server.cohort import Cohort, KeyRound, SharedCohort, ShareRound
from veil.secagg.server.intake import Refusals
from veil.secagg.server.opening import Sum, finish
from veil.secagg.server.vectors import SummedCohort, VectorRound, collect_confirmations
from veil.secagg.transcript import label_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

__all__ = ["Server"]


class Server:
    """The server of one round of secure aggregation.

    It holds no secret of its own: everything that it is sent, it may know.

    Parameters
    ----------
    config : Config
        Agreed by all.
    run_id : str, default ""
        Names the run, as at the clients.
    round_number : int, default 0
        As at the clients.
    roster : mapping of int to Ed25519PublicKey, optional
        Members' identity keys. Given, adverts that are not signed by a member are left out here,
        so that they cost only their sender the round.
    beacon : bytes, optional
        Public randomness that fixes a sparse graph under a malicious server.

    Attributes
    ----------
    refused : dict of int to ProtocolError
        Clients whose message was refused, and why. The round goes on without them.

    Notes
    -----
    Every round method takes ``{client id: message}`` of those whose message came, by the id under
    which the transport knows them, and returns ``{client id: reply}``. Memory: one ring total of
    the vector's length, plus the shares; a vector is added as it arrives and forgotten.
    """

    def __init__(
        self,
        config: Config,
        *,
        run_id: str = "",
        round_number: int = 0,
        roster: Mapping[int, Ed25519PublicKey] | None = None,
        beacon: bytes | None = None,
    ) -> None:
        self._config = config
        round_number = whole("round_number", round_number, least=0)
        self._state: KeyRound | Cohort | SharedCohort | SummedCohort | None = KeyRound(
            config, label_of(run_id, round_number), roster, beacon
        )
        self._vectors: VectorRound | None = None
        self._confirmed = config.adversary != "malicious"
        self.refused: Refusals = {}

    def __repr__(self) -> str:
        return f"Server(state={type(self._state).__name__}, refused={sorted(self.refused)})"

    def collect_keys(self, messages: Mapping[int, bytes]) -> dict[int, bytes]:
        """Round 0: fix the participants (U1) and the session.

        Parameters
        ----------
        messages : mapping of int to bytes
            By client id.

        Returns
        -------
        dict of int to bytes
            A reply for each client that is still in the round.

        Raises
        ------
        TooFewSurvivors
            If too few adverts are left after refusals.
        ProtocolError
            If the call is out of order.
        """
        state: KeyRound = self._require(KeyRound, "collect_keys")
        replies, self._state = state.collect(messages, self.refused)
        return replies

    def relay_shares(self, messages: Mapping[int, bytes]) -> dict[int, bytes]:
        """Round 1: fix who shared (U2) and pass the shares on.

        Parameters
        ----------
        messages : mapping of int to bytes
            By client id.

        Returns
        -------
        dict of int to bytes
            A reply for each client that is still in the round.

        Raises
        ------
        TooFewSurvivors, ProtocolError
            As `collect_keys`.
        """
        state: Cohort = self._require(Cohort, "relay_shares")
        replies, shared = ShareRound(self._config, state).relay(messages, self.refused)
        self._state, self._vectors = shared, VectorRound(self._config, shared)
        return replies

    def add_vector(self, client: int, message: bytes) -> None:
        """Round 2, one vector: add it to the sum now.

        Parameters
        ----------
        client : int
            Its id.
        message : bytes
            From it.

        Raises
        ------
        MalformedMessage
            If the message does not fit; the round goes on without it.
        ProtocolError
            If the call is out of order.
        """
        self._require(SharedCohort, "add_vector")
        assert self._vectors is not None
        self._vectors.add(whole("client", client, least=0), message)

    def collect_vectors(self, messages: Mapping[int, bytes]) -> dict[int, bytes]:
        """Round 2: add these vectors to those of `add_vector`, fix the survivors (U3).

        Parameters
        ----------
        messages : mapping of int to bytes
            By client id.

        Returns
        -------
        dict of int to bytes
            A reply for each client that is still in the round.

        Raises
        ------
        ContextMismatch
            If clients were told different things; names them and the fields that differ.
        TooFewSurvivors, ProtocolError
            As `collect_keys`.
        """
        for client in sorted(messages):
            try:
                self.add_vector(client, messages[client])
            except ProtocolError as error:
                if self._vectors is None:
                    raise
                self.refused[client] = error
        self._require(SharedCohort, "collect_vectors")
        assert self._vectors is not None
        replies, self._state = self._vectors.close(self.refused)
        self._vectors = None
        return replies

    def collect_confirmations(self, messages: Mapping[int, bytes]) -> dict[int, bytes]:
        """Round 3, malicious only: pass the survivors' signatures on.

        Parameters
        ----------
        messages : mapping of int to bytes
            By client id.

        Returns
        -------
        dict of int to bytes
            A reply for each client that is still in the round.

        Raises
        ------
        TooFewSurvivors, ProtocolError
            As `collect_keys`.
        """
        state: SummedCohort = self._require(SummedCohort, "collect_confirmations")
        if self._config.adversary != "malicious":
            raise ProtocolError(
                "collect_confirmations: an honest-but-curious session has no such round"
            )
        replies = collect_confirmations(self._config, state, messages, self.refused)
        self._confirmed = True
        return replies

    def finish(self, messages: Mapping[int, bytes], *, threads: int | None = None) -> Sum:
        """Round 4: open the sum.

        Parameters
        ----------
        messages : mapping of int to bytes
            By client id.
        threads : int, optional
            Most threads to use.

        Returns
        -------
        Sum
            Of the survivors' vectors.

        Raises
        ------
        TooFewSurvivors
            If some secret has fewer than t shares.
        BadShares
            If shares do not fit together or do not match what their owner committed to.
        ProtocolError
            If the call is out of order.
        """
        state = self._require(SummedCohort, "finish")
        if not self._confirmed:
            raise ProtocolError("finish: collect the confirmations first")
        self._state = None
        return finish(self._config, state, messages, self.refused, threads=threads)

    def _require(self, awaited: type, name: str) -> Any:
        if not isinstance(self._state, awaited):
            raise ProtocolError(f"{name}: out of order; {self!r} has no such step now")
        return self._state
