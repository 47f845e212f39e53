"""Known answers of the secret sharing."""

import itertools
import json
from pathlib import Path

import pytest

from veil.secagg import combine_shares

VECTOR = json.loads((Path(__file__).parent / "vectors" / "shamir.json").read_text())
SHARES = {int(x): bytes.fromhex(share) for x, share in VECTOR["shares"].items()}

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("points", list(itertools.combinations(SHARES, 3)))
def test_any_three_shares_give_the_known_secret(points):
    shares = {x: SHARES[x] for x in points}
    secret = combine_shares(shares, threshold=3, length=4)
    assert secret.hex() == VECTOR["secret"]
