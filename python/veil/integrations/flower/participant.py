"""The site's side: answer each step of a request, train once, send nothing in clear."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from veil._optional import require
from veil.errors import PolicyRefused, ProtocolError
from veil.integrations.flower.binding import Shown
from veil.integrations.flower.envelope import Envelope, Step, printable
from veil.integrations.flower.privacy import check_session
from veil.integrations.flower.store import Session, Store, signing_key
from veil.integrations.flower.terms import Terms, describe_privacy
from veil.integrations.flower.turn import Train, Turn, Work
from veil.integrations.flower.vectors import Model, model_of, with_metrics
from veil.random import SecureGenerator
from veil.secagg import Client, Config, FileReplayGuard, Policy
from veil.secagg.identity import Identity
from veil.secagg.proposal import Proposal
from veil.secagg.replay import MemoryReplayGuard

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from flwr.app import Context, Message

__all__ = ["Participant", "Setting"]

Setting = Any
"""A value, or a function from the node's Context to it."""

_FAILED = "training failed at the site; its own log says why"
_UNREADY = "the site could not answer; its own log says why"
_log = logging.getLogger("veil.flower")


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """A site's settings, and how it answers.

    Parameters
    ----------
    policy : Policy or callable
        What the site accepts.
    identity : Identity, path, callable or None
        Its secret; None reads the path from the node's ``identity`` setting.
    metrics : mapping of str to float
        Metrics that may be sent in the masked vector, each with its bound.
    privacy : Privacy or None
        The mechanism that the server must name too.
    ledger : Ledger, path, callable or None
        Where a mechanism's rounds are reserved and charged; None reads the path from the node's
        ``ledger`` setting.
    label : str or None
        Of the charges.
    answer_after : float or None
        Seconds from a request's arrival to an answer that touched data.
    """

    policy: Setting
    identity: Setting
    metrics: Mapping[str, float]
    privacy: Any
    ledger: Setting
    label: str | None
    answer_after: float | None

    def answer(self, message: Message, context: Context, work: Work) -> Message:
        """Answer one message; a fault of one step leaves the others as they are."""
        turn = Turn(self, context, work)
        try:
            reply = self._reply(message, context, turn)
        except ProtocolError as error:
            reply = refusal(message, str(error))
        except Exception:
            # Flower would send its text to the server, and it may quote what a setting's code read.
            _log.exception("a message could not be answered")
            reply = refusal(message, _UNREADY)
        turn.deadline.wait()
        return reply

    def _reply(self, message: Message, context: Context, turn: Turn) -> Message:
        flwr = require("flwr.app", "flower")
        request = Envelope.of(message.content)
        identity = self._identity(context)
        store = Store.open(context.state, identity, self._policy(context, identity))
        answer = store.answered(request)
        if answer is None:
            answer = self._answer(request, store, Shown.of(message, context), turn)
            store.answer(request, answer)
            store.save(context.state)
        reply: Message = flwr.Message(flwr.RecordDict(answer.records()), reply_to=message)
        return reply

    def _answer(self, request: Envelope, store: Store, shown: Shown, turn: Turn) -> Envelope:
        steps: list[Step] = []
        refused: dict[str, str] = {}
        for step in request.steps:
            try:
                payload = self._step(step, store, shown, turn)
                steps.append(Step(step.name, step.session, payload))
            except ProtocolError as error:
                refused[step.key] = printable(str(error))
                _log.warning("%s refused: %s", step.key, refused[step.key])
                store.sessions.pop(step.session, None)
            except Exception:
                # What goes wrong here may quote patients' values: it is for the site's log alone.
                refused[step.key] = _FAILED
                _log.exception("%s failed", step.key)
                store.sessions.pop(step.session, None)
        return Envelope(tuple(steps), refused)

    def _step(self, step: Step, store: Store, shown: Shown, turn: Turn) -> bytes:
        if step.name == "advertise":
            known = store.runs
            advert = self._advertise(step, store)
            terms = store.session(step.session).terms
            turn.admit(terms, first=terms.run not in known)  # or the advert does not leave
            return advert
        session = store.session(step.session)
        if step.name == "mask":
            return self._mask(step, session, shown, partial(turn.bring, session.client))
        answers: dict[str, Callable[[bytes], bytes]] = {
            "share": session.client.share,
            "confirm": session.client.confirm,
            "unmask": session.client.unmask,
        }
        return answers[step.name](step.payload)

    def _advertise(self, step: Step, store: Store) -> bytes:
        proposed = Terms.decode(step.payload)
        self._check_terms(proposed, store.policy)
        terms = proposed.accepted()
        client = Client(
            terms.config,
            self._client_id(terms, store),
            signing_key(store.identity, store.policy),
            store.policy,
            run_id=terms.run,
            round_number=step.session,
        )
        advert = client.advertise()
        store.begin(step.session, Session(terms, client))
        return advert

    def _check_terms(self, terms: Terms[Proposal], policy: Policy) -> None:
        """Compare what is proposed with what this site has, before anything is derived from it."""
        if terms.metrics != dict(self.metrics):
            raise PolicyRefused(
                f"metrics: this site sends {dict(self.metrics)}, the server asks for "
                f"{terms.metrics}; give both sides the same"
            )
        if terms.privacy != describe_privacy(self.privacy):
            raise PolicyRefused(
                "privacy: the server's mechanism is not this site's; give both sides the same "
                "parameters"
            )
        policy.check_config(terms.config)
        check_session(self.privacy, terms.config)

    def _client_id(self, terms: Terms[Config], store: Store) -> int:
        if store.policy.roster is not None:
            return place_of(store.identity, store.policy.roster)
        if terms.client is None:
            raise PolicyRefused("roster: the server expects one, this site's policy has none")
        return terms.client

    def _mask(self, step: Step, session: Session, shown: Shown, train: Train) -> bytes:
        config = session.terms.config
        if not session.client.awaits_vector:  # it repeats its answer or refuses; nothing is trained
            return session.client.mask(step.payload, np.empty(0), context=b"")
        model = Model.of(model_of(shown.message.content, who="request"))
        bound = shown.context(session.terms, step.session)  # before the app can touch the records
        brought = train(shown.message, model, config)
        weight = brought.weight if config.weight_max is not None else None
        vector = with_metrics(brought.vector, brought.metrics, self.metrics, config.codec.clip)
        if vector.shape != (config.length,):
            raise ProtocolError(
                f"the upload has {len(vector)} values, the session was set up for {config.length}; "
                "the app's model is not the server's"
            )
        rng = SecureGenerator() if config.codec.rounding == "stochastic" else None
        return session.client.mask(step.payload, vector, context=bound, weight=weight, rng=rng)

    def _identity(self, context: Context) -> Identity:
        found = self.identity(context) if callable(self.identity) else self.identity
        if found is None:
            found = context.node_config.get("identity")
        if found is None:
            raise PolicyRefused(
                "identity: expected the path of this site's key in the node's configuration "
                "(--node-config 'identity=\"site.key\"'; make one with `veil identity new`)"
            )
        return found if isinstance(found, Identity) else Identity.load(found)

    def _policy(self, context: Context, identity: Identity) -> Policy:
        policy: Policy = self.policy(context) if callable(self.policy) else self.policy
        if isinstance(policy.replay, MemoryReplayGuard) and identity.path is not None:
            # Each message is answered by a new process: memory would guard nothing.
            guard = FileReplayGuard(Path(f"{identity.path}.replay"))
            return replace(policy, replay=guard)
        return policy


def place_of(identity: Identity, roster: Mapping[int, Ed25519PublicKey]) -> int:
    """Find this site's id in a policy's roster.

    Raises
    ------
    PolicyRefused
        If the roster lacks its key.
    """
    own = identity.public.public_bytes_raw()
    for client, key in roster.items():
        if key.public_bytes_raw() == own:
            return client
    raise PolicyRefused("roster: has no site with this site's key; exchange rosters again")


def refusal(message: Message, reason: str) -> Message:
    """Reply with an error, and nothing else."""
    flwr = require("flwr.app", "flower")
    codes = require("flwr.common.constant", "flower").ErrorCode
    reason = printable(reason)
    _log.warning("message refused: %s", reason)
    reply: Message = flwr.Message(
        flwr.Error(codes.MOD_FAILED_PRECONDITION, f"veil: {reason}"), reply_to=message
    )
    return reply
