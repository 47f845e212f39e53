"""The layout of every message: golden bytes, round trips, and foreign bytes that decoders meet."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veil.errors import MalformedMessage
from veil.secagg.keys import PublicKeys
from veil.secagg.messages import (
    Advert,
    Confirm,
    Masked,
    PeerShare,
    Quorum,
    Relay,
    Roster,
    Shares,
    Survivors,
    Unmask,
)
from veil.secagg.wire import SERVER, Kind, prefixed

GOLDEN = Path(__file__).parent / "golden"


def filled(size, first):
    return bytes((first + 7 * i) % 256 for i in range(size))


SID = filled(32, 1)
PEER = PeerShare(filled(1088, 2), filled(88, 3), filled(1088, 4), filled(48, 5))
PLAIN_PEER = PeerShare(filled(1088, 6), filled(88, 7), b"", b"")
ADVERT = Advert(
    3,
    filled(32, 8),
    filled(32, 9),
    PublicKeys(filled(32, 10), filled(1184, 11)),
    PublicKeys(filled(32, 12), filled(1184, 13)),
    filled(64, 14),
)


@pytest.fixture(scope="module")
def messages(make_session):
    config = make_session(5, length=13).config
    return config, {
        "advert": (ADVERT, lambda data: Advert.decode(data)),
        "roster": (
            Roster({3: filled(32, 15), 7: filled(32, 16)}, (7, 3), {3: ADVERT.encode()}),
            lambda data: Roster.decode(data, config),
        ),
        "shares": (
            Shares(3, SID, filled(32, 17), {2: PLAIN_PEER, 7: PEER}),
            lambda data: Shares.decode(data, config, SID),
        ),
        "relay": (Relay(SID, [3, 7], {7: PEER}), lambda data: Relay.decode(data, config, SID)),
        "masked": (
            Masked(3, SID, b"context", filled(config.masked_bytes, 18)),
            lambda data: Masked.decode(data, config, SID),
        ),
        "survivors": (Survivors(SID, [3, 7]), lambda data: Survivors.decode(data, config, SID)),
        "confirm": (Confirm(3, SID, filled(64, 19)), lambda data: Confirm.decode(data, SID)),
        "quorum": (
            Quorum(SID, {3: filled(64, 20), 7: filled(64, 21)}),
            lambda data: Quorum.decode(data, config, SID),
        ),
        "unmask": (
            Unmask(3, SID, {3: filled(36, 22)}, {7: filled(36, 23)}),
            lambda data: Unmask.decode(data, config, SID),
        ),
    }


NAMES = [kind.name.lower() for kind in Kind]


@pytest.mark.parametrize("name", NAMES)
def test_golden_bytes(messages, name):
    message, _ = messages[1][name]
    assert message.encode().hex() == (GOLDEN / f"{name}.hex").read_text().strip()


@pytest.mark.parametrize("name", NAMES)
def test_round_trip(messages, name):
    message, decode = messages[1][name]
    assert decode(message.encode()) == message


@pytest.mark.parametrize("name", NAMES)
def test_every_truncation_and_extension_is_refused(messages, name):
    message, decode = messages[1][name]
    data = message.encode()
    for size in {*range(0, len(data), max(1, len(data) // 97)), *range(60), len(data) - 1}:
        if size < len(data):
            with pytest.raises(MalformedMessage):
                decode(data[:size])
    with pytest.raises(MalformedMessage):
        decode(data + b"\0")


@pytest.mark.parametrize("name", NAMES)
def test_damaged_bytes_decode_to_an_equal_format_or_a_typed_error(messages, name):
    message, decode = messages[1][name]

    @given(st.data())
    def check(data):
        raw = bytearray(message.encode())
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(raw) - 1))
            raw[at] = data.draw(st.integers(0, 255))
        try:
            decoded = decode(bytes(raw))
        except MalformedMessage:
            return
        assert decoded.encode() == bytes(raw)

    check()


@pytest.mark.parametrize("name", NAMES)
def test_random_bytes_are_a_typed_error(messages, name):
    _, decode = messages[1][name]

    @given(st.binary(max_size=300))
    def check(data):
        with pytest.raises(MalformedMessage):
            decode(data)

    check()


@pytest.mark.parametrize(
    ("offset", "value", "named"),
    [(0, b"LIEV", "Veil message"), (4, b"\2\0", "version"), (6, b"\7\0", "type")],
)
def test_header_faults_are_named(messages, offset, value, named):
    data = bytearray(Survivors(SID, [3, 7]).encode())
    data[offset : offset + len(value)] = value
    with pytest.raises(MalformedMessage, match=named):
        Survivors.decode(bytes(data), messages[0], SID)


def test_a_client_cannot_send_as_the_server(messages):
    data = bytearray(Confirm(3, SID, filled(64, 1)).encode())
    data[8:12] = struct.pack("<I", SERVER)
    with pytest.raises(MalformedMessage, match="sender"):
        Confirm.decode(bytes(data), SID)


@pytest.mark.parametrize("ids", [[7, 3], [3, 3], [SERVER]])
def test_ids_rise_and_are_clients(messages, ids):
    with pytest.raises(MalformedMessage, match="rising"):
        Survivors.decode(Survivors(SID, ids).encode(), messages[0], SID)


def test_a_list_longer_than_the_cohort_is_refused(messages):
    with pytest.raises(MalformedMessage, match="at most 5"):
        Survivors.decode(Survivors(SID, list(range(6))).encode(), messages[0], SID)


@given(st.lists(st.binary(max_size=5), max_size=4), st.lists(st.binary(max_size=5), max_size=4))
def test_hashed_fields_are_unambiguous(a, b):
    assert (prefixed(*a) == prefixed(*b)) == (a == b)
