"""What the server proposes for a session, and what a site compares with its own settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from veil.errors import MalformedMessage
from veil.secagg import Config

__all__ = ["Terms", "describe_privacy"]

_MAX_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Terms:
    """A session's parameters, sent with the invitation.

    Parameters
    ----------
    run : str
        Names the run; fresh in every process of the server, so that no label comes twice.
    client : int or None
        The site's id where no roster gives it one.
    config : Config
        Of the aggregation; its length counts the metrics.
    metrics : dict of str to float
        Metrics in the masked vector, each with its bound.
    privacy : str or None
        Digest of the mechanism's parameters.
    """

    run: str
    client: int | None
    config: Config
    metrics: dict[str, float] = field(default_factory=dict)
    privacy: str | None = None

    def encode(self) -> bytes:
        """Encode as JSON."""
        return json.dumps(self.to_dict()).encode()

    @classmethod
    def decode(cls, payload: bytes) -> Terms:
        """Decode a server's invitation.

        Raises
        ------
        MalformedMessage
            If something does not fit.
        """
        if len(payload) > _MAX_BYTES:
            raise MalformedMessage("terms: expected a short invitation")
        try:
            return cls.from_dict(json.loads(payload))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise MalformedMessage(f"terms: the invitation does not fit: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Return the terms as JSON types."""
        return {
            "run": self.run,
            "client": self.client,
            "config": self.config.to_dict(),
            "metrics": self.metrics,
            "privacy": self.privacy,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Terms:
        """Read what `to_dict` returned; every field is checked."""
        if set(values) != set(cls.__slots__):
            raise ValueError(f"expected the fields {cls.__slots__}")
        run, client, privacy = values["run"], values["client"], values["privacy"]
        if not isinstance(run, str) or not isinstance(privacy, str | None):
            raise TypeError("run and privacy: expected text")
        if client is not None and (isinstance(client, bool) or not isinstance(client, int)):
            raise TypeError("client: expected an id")
        metrics = {str(name): float(bound) for name, bound in values["metrics"].items()}
        return cls(run, client, Config.from_dict(values["config"]), metrics, privacy)


def describe_privacy(privacy: Any) -> str | None:
    """Digest of a mechanism and its parameters, equal at both sides or refused."""
    if privacy is None:
        return None
    text = json.dumps([type(privacy).__qualname__, privacy.to_dict()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
