"""The client as its user sees it: five calls, each bytes in and bytes out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from veil._checks import whole
from veil.errors import PolicyRefused, ProtocolError
from veil.fixed_point import require_rng
from veil.secagg.client.advertise import Start
from veil.secagg.client.mask import AwaitRelay
from veil.secagg.client.saved import open_state, seal_state
from veil.secagg.client.session import Session
from veil.secagg.client.share import AwaitRoster
from veil.secagg.client.unmask import AwaitQuorum, AwaitSurvivors, Finished
from veil.secagg.client.vectors import check_vector, check_weight
from veil.secagg.config import Config
from veil.secagg.policy import Policy
from veil.secagg.replay import MemoryReplayGuard

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from veil.random import SecureGenerator

__all__ = ["Client"]

State = Start | AwaitRoster | AwaitRelay | AwaitSurvivors | AwaitQuorum | Finished


class Client:
    """One client in one round of secure aggregation.

    Per session, the server learns the sum of the survivors' vectors, who took part at each round,
    and nothing else, if at most ``config.corrupt`` clients collude with it, X25519 or ML-KEM-768
    holds, AES-256 and SHA-256 behave as a PRF and a random oracle, and, for a malicious server,
    Ed25519 holds while the round runs and the roster was pinned out of band. What several sums tell
    together is bounded by differential privacy alone; see `Policy` for sets that differ by few.

    Parameters
    ----------
    config : Config
        Agreed by all.
    client_id : int
        This client, 0 to 2**32 - 2.
    identity_key : Ed25519PrivateKey or None
        Required when the configuration's adversary is malicious.
    policy : Policy
        What this client accepts.
    run_id : str, default ""
        Names the run.
    round_number : int, default 0
        Above every number that this client used in the run, so a second session under the default
        is refused.
    beacon : bytes, optional
        Public randomness that fixes a sparse graph under a malicious server.
    rng : SecureGenerator, optional
        Source of the secrets, for simulation; the operating system's entropy if left out.

    Raises
    ------
    PolicyRefused
        If the policy does not allow the configuration, its roster has not this client's key under
        its id, or sets of survivors are to be compared and the replay guard is one in memory.
    ValueError
        If `client_id` or `round_number` is out of range.

    Notes
    -----
    Each method moves to the next round. The same request again gets the same bytes; any other
    fault raises a ProtocolError and wipes the session, which then refuses everything.
    """

    def __init__(
        self,
        config: Config,
        client_id: int,
        identity_key: Ed25519PrivateKey | None,
        policy: Policy,
        *,
        run_id: str = "",
        round_number: int = 0,
        beacon: bytes | None = None,
        rng: SecureGenerator | None = None,
    ) -> None:
        client_id, round_number = whole("client_id", client_id), whole("round_number", round_number)
        if not 0 <= client_id < 0xFFFFFFFF:
            raise ValueError(f"client_id: expected 0 to 2**32 - 2, got {client_id}")
        if not 0 <= round_number < 1 << 63:
            raise ValueError(f"round_number: expected 0 to 2**63 - 1, got {round_number}")
        policy.check_config(config)
        _check_identity(policy, client_id, identity_key)
        if policy.min_set_difference is not None and isinstance(policy.replay, MemoryReplayGuard):
            raise PolicyRefused(
                "replay: expected a FileReplayGuard with min_set_difference, got one in memory, "
                "which forgets the sets that were signed when the process ends"
            )
        self._session = Session(
            config, client_id, identity_key, policy, run_id, round_number, beacon, rng
        )
        self._state: State | None = Start()
        self._last: tuple[bytes, bytes] = (b"", b"")  # digest of the request, the answer to it

    def __repr__(self) -> str:
        state = "aborted" if self._state is None else type(self._state).__name__
        return f"Client(id={self._session.client_id}, state={state})"

    def __reduce__(self) -> Any:
        raise TypeError("a Client holds secrets: use save() and restore(), which seal them")

    @property
    def finished(self) -> bool:
        """Whether the last message has been made."""
        return isinstance(self._state, Finished)

    @property
    def awaits_vector(self) -> bool:
        """Whether `mask` would look at a vector; if not, it repeats its answer or refuses."""
        return isinstance(self._state, AwaitRelay)

    @property
    def last_message(self) -> bytes:
        """The message of the last step, for a request that came twice; empty before the first."""
        return self._last[1]

    @property
    def session_id(self) -> bytes:
        """Hash of label, configuration and all members' keys, this client's fresh ones included.

        No server can give it to two sessions of one client. Known from round 1 on; before that, and
        when the session is over, ProtocolError.
        """
        if not isinstance(self._state, AwaitRelay | AwaitSurvivors | AwaitQuorum):
            raise ProtocolError(f"session_id: {self!r} has none")
        return self._state.sid

    def advertise(self) -> bytes:
        """Round 0: this client's public keys.

        Returns
        -------
        bytes
            For the server.

        Raises
        ------
        StateReplayed
            If this client has used a label of the run that is not below this one.
        """
        return self._step("advertise", b"", Start, lambda state: state.advertise(self._session))

    def share(self, message: bytes) -> bytes:
        """Round 1: answer the server's roster with shares for every neighbour.

        Parameters
        ----------
        message : bytes
            From the server.

        Returns
        -------
        bytes
            For the server.

        Raises
        ------
        ProtocolError
            If the message breaks a rule, or the call is out of order; the session is over.
        """
        return self._step(
            "share", message, AwaitRoster, lambda state: state.share(self._session, message)
        )

    def mask(
        self,
        message: bytes,
        vector: NDArray[Any],
        *,
        context: bytes,
        weight: int | None = None,
        rng: SecureGenerator | None = None,
        threads: int | None = None,
    ) -> bytes:
        """Round 2: answer the relayed shares with the masked vector.

        Parameters
        ----------
        message : bytes
            From the server.
        vector : ndarray of float, shape (config.length,)
            Finite; clipped by the codec. In a session with noise: of int64, lattice points with
            this client's noise in them, reduced to the ring as they are.
        context : bytes
            `veil.secagg.context` of all that reached this client's training, computed here from
            what came and before training began: model, round, instructions, shared arrays,
            settings, terms. Clients that were told other things get masks that do not cancel. A
            hash of the model alone would let the server choose each site's learning rate.
        weight : int, optional
            1 to ``config.weight_max``; required exactly when the configuration is weighted.
        rng : SecureGenerator, optional
            For stochastic rounding; needed when the codec rounds stochastically.
        threads : int, optional
            Most threads to use; they change the speed, never the bits.

        Returns
        -------
        bytes
            Of ``config.masked_bytes`` and a header. The same request again returns the same bytes
            and does not look at the vector.

        Raises
        ------
        ProtocolError
            If the message breaks a rule; the session is over.
        PolicyRefused, ContextMismatch
            If the server may be malicious and the context is not of `veil.secagg.context`, or of
            another version of it; the session is over.
        StateReplayed
            If this client has masked under the context in another session.
        TypeError, ValueError
            If the vector, weight, context or generator do not fit; the session goes on.

        Notes
        -----
        Memory beside the vector: the message and one block of 64 KiB for each thread.
        """
        if isinstance(self._state, AwaitRelay):
            vector = check_vector(self._session.config, vector)
            require_rng(self._session.config.codec, rng)
            weight = check_weight(self._session.config, weight)
            if len(context) > 64:
                raise ValueError(f"context: expected at most 64 bytes, got {len(context)}")
        return self._step(
            "mask",
            message,
            AwaitRelay,
            lambda state: state.mask(
                self._session,
                message,
                vector,
                context=context,
                weight=weight,
                rng=rng,
                threads=threads,
            ),
        )

    def confirm(self, message: bytes) -> bytes:
        """Round 3, malicious server only: sign the survivor set.

        Parameters
        ----------
        message : bytes
            From the server.

        Returns
        -------
        bytes
            For the server.

        Raises
        ------
        PolicyRefused
            If the set differs by too few from one signed before (``Policy.min_set_difference``).
        ProtocolError
            If the message breaks a rule, or the call is out of order; the session is over.
        """
        return self._step(
            "confirm", message, AwaitSurvivors, lambda state: state.confirm(self._session, message)
        )

    def unmask(self, message: bytes) -> bytes:
        """Round 4: the shares that open the sum; at most once per session.

        Parameters
        ----------
        message : bytes
            From the server.

        Returns
        -------
        bytes
            For the server.

        Raises
        ------
        ProtocolError
            If the message breaks a rule, or the call is out of order; the session is over.
        """
        awaited = AwaitQuorum if self._session.is_malicious else AwaitSurvivors
        return self._step(
            "unmask", message, awaited, lambda state: state.unmask(self._session, message)
        )

    def save(self, key: bytes) -> bytes:
        """Seal the state under a local key; save after each step, before its message leaves.

        Parameters
        ----------
        key : bytes
            32 bytes that never leave this site.

        Returns
        -------
        bytes
            The state and the last message, encrypted and authenticated.

        Raises
        ------
        ProtocolError
            If the session was aborted.
        ValueError
            If the key is not 32 bytes.
        """
        if self._state is None:
            raise ProtocolError("the session was aborted; there is nothing to save")
        return seal_state(key, self._session, self._state, self._last)

    @classmethod
    def restore(
        cls,
        saved: bytes,
        key: bytes,
        config: Config,
        identity_key: Ed25519PrivateKey | None,
        policy: Policy,
        *,
        beacon: bytes | None = None,
        rng: SecureGenerator | None = None,
    ) -> Client:
        """Open a saved state; using it twice raises StateReplayed at the step that repeats.

        Parameters
        ----------
        saved : bytes
            From `save`.
        key : bytes
            The local key, 32 bytes.
        config : Config
            The session's; the state is tied to it.
        identity_key : Ed25519PrivateKey or None
            As for the constructor.
        policy : Policy
            As for the constructor; its replay guard must be the one that was used before.
        beacon : bytes, optional
            As for the constructor.
        rng : SecureGenerator, optional
            As for the constructor.

        Returns
        -------
        Client
            Ready for the step after the last that was saved.

        Raises
        ------
        MalformedMessage
            If the bytes were damaged, the key is another, or the state is of another configuration.
        PolicyRefused
            If the policy's replay guard did not see the session begin: a new one in memory, or a
            file that was lost.
        """
        opened = open_state(key, saved, config)
        client = cls(
            config,
            opened.client_id,
            identity_key,
            policy,
            run_id=opened.run_id,
            round_number=opened.round_number,
            beacon=beacon,
            rng=rng,
        )
        if not isinstance(opened.state, Start | Finished):
            client._session.require_guard(opened.state.leaf)
        client._state, client._last = opened.state, opened.last
        return client

    def _step(
        self, name: str, request: bytes, awaited: type, make: Callable[[Any], tuple[bytes, Any]]
    ) -> bytes:
        asked = hashlib.sha256(name.encode() + b"\0" + bytes(request)).digest()
        if self._last[1] and asked == self._last[0] and self._state is not None:
            return self._last[1]
        try:
            if not isinstance(self._state, awaited):
                raise ProtocolError(f"{name}: out of order; {self!r} has no such step now")
            message, following = make(self._state)
        except BaseException:  # whatever it was: nothing secret stays, and nothing goes on
            self._state, self._last = None, (b"", b"")
            raise
        self._state, self._last = following, (asked, message)
        return message


def _check_identity(policy: Policy, client_id: int, identity_key: Ed25519PrivateKey | None) -> None:
    """Refuse a client that the roster of its own policy does not know."""
    if policy.roster is None:
        return
    if identity_key is None:
        raise PolicyRefused("identity_key: a malicious-server session needs one, got None")
    pinned = policy.roster.get(client_id)
    own = identity_key.public_key().public_bytes_raw()
    if pinned is None or pinned.public_bytes_raw() != own:
        raise PolicyRefused(
            f"roster: expected this client's own key under its id {client_id}, got "
            f"{'no member' if pinned is None else 'another key'}; exchange rosters again"
        )
