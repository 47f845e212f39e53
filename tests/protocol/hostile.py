"""What attacks share: reading one client's vector, and copies of clients."""

import numpy as np
from policies import pinned

from veil import ring
from veil.errors import ProtocolError
from veil.secagg import Client, context
from veil.secagg.masking import MaskKeys, self_mask_key, unmask
from veil.secagg.messages import Masked, Unmask
from veil.secagg.server import opening
from veil.secagg.shamir import combine_shares

TARGET = 10
KEY = bytes(range(32))


def context_of(model, /, **more):
    """The context of a round that began with a model, here a name."""
    nothing = {"instructions": {}, "shared": {}, "settings": {}, "terms": {}}
    return context(**{"model": {"name": model}, "round": 1, **nothing, **more})


CONTEXT = context_of("the model")


def read_one_vector(session, masked, self_shares, key_shares):
    """What a server does that holds enough of both secrets of the target: read its vector.

    Returns None when there are too few shares, or they do not open the vector.
    """
    shared = session.server._state.before
    t = shared.before.thresholds.t
    try:
        b = combine_shares(self_shares, threshold=t, length=32)
        mu = combine_shares(key_shares, threshold=t, length=32)
    except ProtocolError:
        return None
    config = session.config
    summed = opening.SummedCohort(
        shared, tuple(c for c in shared.shared if c != TARGET), None, CONTEXT
    )
    removed = opening._pair_masks(config, summed, {TARGET: mu})
    # `removed` takes the target's masks off the others' vectors: the other sign for its own.
    signed = [(key, -sign) for key, sign in removed]
    signed.append((self_mask_key(b, shared.before.sid, TARGET, config, CONTEXT), -1))
    message = Masked.decode(masked[TARGET], config, shared.before.sid)
    words = ring.unpack_bits(
        np.frombuffer(message.payload, np.uint8),
        config.codec.ring_bits,
        config.masked_length,
        dtype=np.uint32,
    )
    unmask(config, words, MaskKeys.of(signed), threads=None)
    return config.codec.decode_sum(words, 1)


def gather(session, replies, shares, kind):
    """Add the target's shares of one kind from clients' replies."""
    sid = session.server._state.before.before.sid
    points = {c: at + 1 for at, c in enumerate(session.clients)}
    for client, reply in replies.items():
        opened = Unmask.decode(reply, session.config, sid)
        share = getattr(opened, kind).get(TARGET)
        if share is not None:
            shares[points[client]] = share


def sid_of(session):
    return session.server._state.before.before.sid


class Forgetful:
    """A replay guard that allows everything."""

    def begin(self, name, number, session):
        """Remember nothing."""

    def advance(self, session, step, *, context=b"", members=(), apart=0):
        """Remember nothing."""

    def knows(self, session):
        """Claim to have seen every session."""
        return True


def guards_of(session):
    """The guards that the clients began with, by client."""
    return {c: client._session.policy.replay for c, client in session.clients.items()}.__getitem__


def restored(session, client, saved, guard):
    policy = pinned(session.config, replay=guard)
    return Client.restore(saved, KEY, session.config, None, policy)
