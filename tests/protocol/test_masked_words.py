"""What the server sees of one client is uniform, whatever the client's vector is."""

import numpy as np
import pytest
from hostile import CONTEXT
from scipy import stats

from veil import ring
from veil.secagg.client import mask as mask_round
from veil.secagg.masking import MaskKeys
from veil.secagg.messages import Masked
from veil.secagg.wire import Header

ALPHA = 1e-6
LENGTH = 1 << 16


def p_value_of_top_byte(session, value):
    session.vectors[10] = np.full(LENGTH, value, np.float32)
    masked = session.mask(session.to_relay())
    sid = session.server._state.before.sid
    payload = Masked.decode(masked[10], session.config, sid).payload
    bits = session.config.codec.ring_bits
    words = ring.unpack_bits(np.frombuffer(payload, np.uint8), bits, LENGTH, dtype=np.uint32)
    counts = np.bincount(words >> np.uint32(bits - 8), minlength=256)
    return stats.chisquare(counts).pvalue


@pytest.mark.parametrize("value", [0.0, 3.9])
def test_masked_words_are_uniform(make_session, value):
    p = p_value_of_top_byte(make_session(5, length=LENGTH), value)
    assert p > ALPHA, f"chi-square p = {p:.2e} on {LENGTH} words; false alarms at rate {ALPHA}"


class NoMasks:
    """Forgets every key."""

    @classmethod
    def of(cls, signed):
        return MaskKeys([], [])


def test_a_missing_mask_is_seen(make_session, monkeypatch):
    monkeypatch.setattr(mask_round, "MaskKeys", NoMasks)
    assert p_value_of_top_byte(make_session(5, length=LENGTH), 0.0) < ALPHA


def test_a_simulator_without_inputs_makes_a_view_of_the_same_format(make_session):
    """Uniform words in place of every masked vector: same sizes, same headers, same sets."""
    real = make_session(5).vanish(2, 14)
    masked = real.mask(real.to_relay())
    sid = real.server._state.before.sid
    rng = np.random.default_rng(0)
    for client, message in masked.items():
        simulated = Masked(client, sid, CONTEXT, rng.bytes(real.config.masked_bytes))
        assert len(simulated.encode()) == len(message)
        clear = Header.SIZE + 4 + len(CONTEXT)  # the rest is noise
        assert simulated.encode()[:clear] == message[:clear]
