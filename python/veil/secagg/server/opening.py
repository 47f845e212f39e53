"""Round 4 at the server: recover the seeds, check them, take the masks off the sum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from veil.errors import BadShares, MalformedMessage, ProtocolError, TooFewSurvivors
from veil.secagg import keys
from veil.secagg.config import Config
from veil.secagg.masking import MaskKeys, pair_mask_key, self_mask_key, unmask
from veil.secagg.messages import Unmask
from veil.secagg.server.intake import Refusals, require_sender, take
from veil.secagg.server.vectors import SummedCohort
from veil.secagg.shamir import combine_secrets

__all__ = ["Sum", "finish"]


@dataclass(frozen=True, slots=True, eq=False)
class Sum:
    """All that the server learns.

    Parameters
    ----------
    total : ndarray of float64, shape (config.length,)
        The sum of the survivors' vectors, or their weighted mean Σ(w·x)/Σw when the session is
        weighted.
    weight : int or None
        Σw, or None when the session is unweighted.
    survivors : tuple of int
        Whose vectors are in it, sorted.
    """

    total: NDArray[np.float64] = field(repr=False)
    weight: int | None
    survivors: tuple[int, ...]


def finish(
    config: Config,
    summed: SummedCohort,
    messages: Mapping[int, bytes],
    refused: Refusals,
    *,
    threads: int | None,
) -> Sum:
    """Open the sum.

    Raises
    ------
    TooFewSurvivors
        If some secret has fewer than t shares.
    BadShares
        If the shares of a secret do not fit together or do not match what its owner committed to.
    """
    taken = take(messages, lambda client, m: _decode(config, summed, client, m), refused)
    seeds, masters = _recover(summed, taken)
    masks = MaskKeys.of(
        [*_self_masks(config, summed, seeds), *_pair_masks(config, summed, masters)]
    )
    unmask(config, summed.total.words, masks, threads=threads)
    return _decode_total(config, summed)


def _decode(config: Config, summed: SummedCohort, client: int, message: bytes) -> Unmask:
    cohort = summed.before.before
    opened = Unmask.decode(message, config, cohort.sid)
    require_sender(client, opened.client)
    shared, alive = set(summed.before.shared), set(summed.survivors)
    if client not in alive:
        raise MalformedMessage("the client's vector is not in the sum")
    held = shared & set(cohort.graph.holders(client))  # the graph is symmetric
    if set(opened.self_shares) != held & alive or set(opened.key_shares) != held - alive:
        raise MalformedMessage("expected one share of each secret that the client holds")
    return opened


def _recover(
    summed: SummedCohort, opened: Mapping[int, Unmask]
) -> tuple[dict[int, bytes], dict[int, bytes]]:
    """Self-mask seeds of the survivors, masking seeds of the dropped; both checked."""
    cohort = summed.before.before
    points = {client: at + 1 for at, client in enumerate(sorted(cohort.graph.order))}
    alive = set(summed.survivors)
    dropped = [client for client in summed.before.shared if client not in alive]
    shares: dict[int, dict[int, bytes]] = {owner: {} for owner in (*summed.survivors, *dropped)}
    for client, message in opened.items():
        for owner, share in (*message.self_shares.items(), *message.key_shares.items()):
            shares[owner][points[client]] = share
    for owner, got in shares.items():
        if len(got) < cohort.thresholds.t:
            raise TooFewSurvivors(
                f"expected at least {cohort.thresholds.t} shares of client {owner}'s secret, "
                f"got {len(got)}"
            )
    recovered = combine_secrets(list(shares.values()), threshold=cohort.thresholds.t, length=32)
    seeds = dict(zip(shares, recovered, strict=True))
    for client in summed.survivors:
        if (
            keys.self_commitment(cohort.sid, client, seeds[client])
            != (summed.before.commitments[client])
        ):
            raise BadShares(f"client {client}: the recovered seed does not match its commitment")
    return {c: seeds[c] for c in summed.survivors}, {c: seeds[c] for c in dropped}


def _self_masks(
    config: Config, summed: SummedCohort, seeds: Mapping[int, bytes]
) -> list[tuple[bytes, int]]:
    sid = summed.before.before.sid
    return [
        (self_mask_key(b, sid, client, config, summed.context), -1) for client, b in seeds.items()
    ]


def _pair_masks(
    config: Config, summed: SummedCohort, masters: Mapping[int, bytes]
) -> list[tuple[bytes, int]]:
    """Masks that survivors share with dropped clients, with the sign that removes them."""
    cohort = summed.before.before
    alive = set(summed.survivors)
    signed = []
    for dropped, mu in masters.items():
        private = keys.masking_keys(mu, config.kem)
        if private.public != cohort.adverts[dropped].masking:
            raise BadShares(f"client {dropped}: the recovered seed does not give its public keys")
        for j in cohort.graph.neighbours(dropped):
            if j in alive:
                secret = _recovered_pair_secret(config, summed, dropped, mu, private, j)
                i, other = min(dropped, j), max(dropped, j)
                key = pair_mask_key(secret, cohort.sid, i, other, config, summed.context)
                signed.append((key, -1 if j < dropped else 1))
    return signed


def _recovered_pair_secret(
    config: Config,
    summed: SummedCohort,
    dropped: int,
    mu: bytes,
    private: keys.PrivateKeys,
    j: int,
) -> bytes:
    cohort = summed.before.before
    i, other = min(dropped, j), max(dropped, j)
    ct, wrapped = summed.before.contributions[i, other]
    r = b""
    if config.kem == keys.HYBRID:
        r = (
            keys.pair_contribution(mu, cohort.sid, i, other)
            if dropped < j
            else _unwrap(private, ct, wrapped, cohort.sid, i, other)
        )
    exchanged = private.exchange(cohort.adverts[j].masking)
    return keys.pair_secret(exchanged, r, cohort.sid, i, other, keys.binding(ct, wrapped))


def _unwrap(
    private: keys.PrivateKeys, ct: bytes, wrapped: bytes, sid: bytes, i: int, j: int
) -> bytes:
    try:
        return keys.unwrap_contribution(private.decapsulate(ct), wrapped, sid, i, j, ct)
    except ProtocolError as error:
        raise BadShares(str(error)) from error


def _decode_total(config: Config, summed: SummedCohort) -> Sum:
    count = len(summed.survivors)
    weight, factor = summed.total.weight(), 1.0
    if weight is not None and config.weight_max is not None:
        if not count <= weight <= count * config.weight_max:
            raise ProtocolError("the sum of weights is out of range: some client cheated")
        factor = config.weight_max / weight
    try:
        return Sum(summed.total.decode(count, factor), weight, summed.survivors)
    except ValueError as error:
        raise ProtocolError(f"the sum does not decode: {error}") from error
