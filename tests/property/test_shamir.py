"""Secret sharing against the arithmetic of Python's integers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veil.errors import BadShares
from veil.secagg.shamir import (
    PRIME,
    combine_secrets,
    combine_shares,
    share_bytes,
    split_secret,
    split_secrets,
)

pytestmark = pytest.mark.kernel

secrets = st.binary(min_size=1, max_size=40)


@st.composite
def sharings(draw):
    points = draw(st.lists(st.integers(1, 65535), min_size=1, max_size=40, unique=True))
    threshold = draw(st.integers(1, len(points)))
    chosen = draw(st.permutations(points))[:threshold]
    return draw(secrets), points, threshold, chosen


@given(sharings())
def test_any_threshold_of_shares_recovers(case):
    secret, points, threshold, chosen = case
    shares = dict(
        zip(points, split_secret(secret, threshold=threshold, points=points), strict=True)
    )
    taken = {x: shares[x] for x in chosen}
    assert combine_shares(taken, threshold=threshold, length=len(secret)) == secret


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=5))
def test_a_batch_equals_one_by_one(batch):
    points = [1, 2, 5, 9]
    rows = split_secrets(batch, threshold=3, points=points)
    batches = [{x: row[s] for x, row in zip(points, rows, strict=True)} for s in range(len(batch))]
    assert combine_secrets(batches, threshold=3, length=32) == batch


class Words:
    """A byte source that replays given words, to fix the polynomial."""

    def __init__(self, words):
        self.words = list(words)

    def bytes(self, n):
        need = n // 4
        taken, self.words = self.words[:need], self.words[need:]
        taken += [1] * (need - len(taken))
        return b"".join(word.to_bytes(4, "little") for word in taken)


@given(st.lists(st.integers(0, PRIME - 1), min_size=2, max_size=2), st.integers(1, 65535))
def test_a_share_is_the_polynomial_at_its_point(coefficients, x):
    share = split_secret(b"\x21", threshold=3, points=[x, x % 65535 + 1, (x + 1) % 65535 + 1],
                         rng=Words(coefficients))[0]  # fmt: skip
    expected = (0x21 + coefficients[0] * x + coefficients[1] * x * x) % PRIME
    assert share == expected.to_bytes(4, "big")


def test_words_at_or_above_the_prime_are_rejected():
    accepted = split_secret(b"\0", threshold=2, points=[1, 2], rng=Words([PRIME, 2**32 - 1, 7]))
    assert accepted[0] == (7).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({1: b"\0" * 8}, "at least 2"),
        ({1: b"\0" * 8, 2: b"\0" * 7}, "8 bytes"),
        ({1: b"\xff" * 8, 2: b"\0" * 8}, "below"),
        ({1: b"\x80\0\0\x0a" * 2, 2: b"\x80\0\0\x0a" * 2}, "do not fit"),
    ],
)
def test_damaged_shares_are_a_typed_error(shares, message):
    with pytest.raises(BadShares, match=message):
        combine_shares(shares, threshold=2, length=4)


@pytest.mark.parametrize("threshold", [0, 3])
def test_a_threshold_out_of_range_is_refused(threshold):
    with pytest.raises(ValueError, match="threshold"):
        split_secret(b"x", threshold=threshold, points=[1, 2])


@pytest.mark.parametrize("points", [[0, 1], [1, 65536], [4, 4]])
def test_bad_points_are_refused(points):
    with pytest.raises(ValueError, match="points"):
        split_secret(b"x", threshold=2, points=points)


def test_share_length_of_a_key():
    assert share_bytes(32) == 36
