"""Cryptographic streams: keystreams of a given key, and the generator of everything random."""

from veil.random._generator import SecureGenerator
from veil.random._keystream import Keystream

__all__ = ["Keystream", "SecureGenerator"]
