"""Known answers of the key agreement, the key derivation and the choice of the graph."""

import json
from pathlib import Path

import pytest

from veil.secagg import choose_graph
from veil.secagg.keys import PrivateKeys, PublicKeys, hkdf_sha256

VECTORS = Path(__file__).parent / "vectors"
X25519 = json.loads((VECTORS / "x25519.json").read_text())
HKDF = json.loads((VECTORS / "hkdf_sha256.json").read_text())
GRAPH = json.loads((VECTORS / "secagg_graph.json").read_text())


@pytest.mark.parametrize("case", X25519["cases"])
def test_x25519(case):
    private = PrivateKeys(bytes.fromhex(case["scalar"]), b"")
    shared = private.exchange(PublicKeys(bytes.fromhex(case["point"]), b""))
    assert shared.hex() == case["result"]


def test_x25519_public_key():
    private = PrivateKeys(bytes.fromhex(X25519["public"]["private"]), b"")
    assert private.public.x25519.hex() == X25519["public"]["public"]


@pytest.mark.parametrize("case", HKDF["cases"])
def test_hkdf_sha256(case):
    ikm, salt, info, okm = (bytes.fromhex(case[name]) for name in ("ikm", "salt", "info", "okm"))
    assert hkdf_sha256(ikm, salt, info, len(okm)) == okm


@pytest.mark.parametrize("row", GRAPH["rows"])
def test_degree_and_threshold(row):
    for n, expected in zip(GRAPH["clients"], row["k_t"], strict=True):
        chosen = choose_graph(
            n, corrupt=row["corrupt"], dropout=row["dropout"], adversary=row["adversary"]
        )
        assert list(chosen) == expected
