"""Keystreams against published known answers."""

import json
from pathlib import Path

import pytest

from veil.random import Keystream

pytestmark = pytest.mark.kernel
VECTORS = json.loads((Path(__file__).parent / "vectors" / "keystream.json").read_text())


def xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_keystream_turns_the_plaintext_into_the_ciphertext(vector):
    plaintext, ciphertext = bytes.fromhex(vector["plaintext"]), bytes.fromhex(vector["ciphertext"])
    stream = Keystream(
        bytes.fromhex(vector["key"]),
        nonce=bytes.fromhex(vector["nonce"]),
        cipher=vector["cipher"],
    )
    assert xor(plaintext, stream.bytes(len(plaintext))) == ciphertext


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_known_answer_holds_when_read_byte_by_byte(vector):
    plaintext, ciphertext = bytes.fromhex(vector["plaintext"]), bytes.fromhex(vector["ciphertext"])
    stream = Keystream(
        bytes.fromhex(vector["key"]),
        nonce=bytes.fromhex(vector["nonce"]),
        cipher=vector["cipher"],
    )
    pieces = [stream.bytes(1) for _ in plaintext]
    assert xor(plaintext, b"".join(pieces)) == ciphertext
