"""Rounds 2 and 3 at the server: the running sum, and the clients' confirmations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from veil.errors import ContextMismatch, MalformedMessage, TooFewSurvivors
from veil.secagg.config import Config
from veil.secagg.context import differing_fields
from veil.secagg.masking import add_packed
from veil.secagg.messages import Confirm, Masked, Quorum, Survivors
from veil.secagg.server.cohort import SharedCohort
from veil.secagg.server.intake import Refusals, require_sender, take
from veil.secagg.server.total import RingTotal

__all__ = ["SummedCohort", "VectorRound", "collect_confirmations"]


@dataclass(frozen=True, slots=True)
class SummedCohort:
    """After round 2: U3 and the masked sum."""

    before: SharedCohort
    survivors: tuple[int, ...]
    total: RingTotal = field(repr=False)
    context: bytes


class VectorRound:
    """Round 2: adds each vector as it arrives and forgets it."""

    def __init__(self, config: Config, cohort: SharedCohort) -> None:
        self._config = config
        self._cohort = cohort
        self._contexts: dict[int, bytes] = {}
        self._total = RingTotal(config)

    def add(self, client: int, message: bytes) -> None:
        """Add one client's masked vector.

        Raises
        ------
        MalformedMessage
            If the bytes do not fit, or the client has no right to send or has sent already.
        """
        masked = Masked.decode(message, self._config, self._cohort.before.sid)
        require_sender(client, masked.client)
        if client not in self._cohort.commitments:
            raise MalformedMessage("the client did not share its seeds in round 1")
        if client in self._contexts:
            raise MalformedMessage("the client's vector is in the sum already")
        add_packed(self._config, self._total.words, memoryview(masked.payload))
        self._contexts[client] = masked.context

    def close(self, refused: Refusals) -> tuple[dict[int, bytes], SummedCohort]:
        """Fix the survivors and tell them; `refused` receives the clients that differ.

        Raises
        ------
        ContextMismatch
            If clients were told different things; the message names the minority and the fields.
        TooFewSurvivors
            If fewer vectors came than the configuration asks for.
        """
        cohort = self._cohort.before
        survivors = tuple(sorted(self._contexts))
        if len(survivors) < cohort.thresholds.min_survivors:
            raise TooFewSurvivors(
                f"expected at least {cohort.thresholds.min_survivors} vectors, got {len(survivors)}"
            )
        context = self._agreed_context(refused)
        reply = Survivors(cohort.sid, list(survivors)).encode()
        summed = SummedCohort(self._cohort, survivors, self._total, context)
        return dict.fromkeys(survivors, reply), summed

    def _agreed_context(self, refused: Refusals) -> bytes:
        """Find what all masked for; a total that holds another's vector cannot be opened."""
        counts = Counter(self._contexts.values())
        context, most = counts.most_common(1)[0]
        others = {c: used for c, used in sorted(self._contexts.items()) if used != context}
        for client, used in others.items():
            refused[client] = ContextMismatch(
                f"masked for other things than {most} clients did, in: "
                f"{differing_fields(used, context)}"
            )
        if others:
            fields = sorted({differing_fields(used, context) for used in others.values()})
            raise ContextMismatch(
                f"clients {list(others)} masked for other things than the other {most}, in: "
                f"{'; '.join(fields)}; send all the same and start again"
            )
        return context


def collect_confirmations(
    config: Config, summed: SummedCohort, messages: Mapping[int, bytes], refused: Refusals
) -> dict[int, bytes]:
    """Round 3: give every survivor the signatures of those that confirmed."""
    cohort = summed.before.before

    def decode(client: int, message: bytes) -> Confirm:
        confirm = Confirm.decode(message, cohort.sid)
        require_sender(client, confirm.client)
        if client not in summed.survivors:
            raise MalformedMessage("the client's vector is not in the sum")
        return confirm

    taken = take(messages, decode, refused)
    if len(taken) < cohort.thresholds.quorum:
        raise TooFewSurvivors(
            f"expected at least {cohort.thresholds.quorum} confirmations, got {len(taken)}"
        )
    signatures = {client: confirm.signature for client, confirm in taken.items()}
    return dict.fromkeys(taken, Quorum(cohort.sid, signatures).encode())
