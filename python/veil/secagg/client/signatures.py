"""Verification against the pinned roster."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature

from veil.errors import PolicyRefused, ProtocolError
from veil.secagg.client.session import Session

__all__ = ["verify_signature"]


def verify_signature(session: Session, signer: int, signature: bytes, message: bytes) -> None:
    """Check that a member of the roster signed the message.

    Raises
    ------
    PolicyRefused
        If the signer is not in this client's roster.
    ProtocolError
        If the signature is not the signer's.
    """
    key = None if session.policy.roster is None else session.policy.roster.get(signer)
    if key is None:
        raise PolicyRefused(f"client {signer}: no identity key in this client's roster")
    try:
        key.verify(signature, message)
    except InvalidSignature as error:
        raise ProtocolError(f"client {signer}: the signature is not its own") from error
