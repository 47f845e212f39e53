"""What the server proposes for a session, and what a site compares with its own settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar

from veil.errors import MalformedMessage
from veil.secagg import Config
from veil.secagg.proposal import Proposal

__all__ = ["Terms", "describe_privacy"]

_MAX_BYTES = 1 << 16
_MAX_RUN_BYTES = 128
_MAX_CLIENT = 0xFFFFFFFE

_C = TypeVar("_C", bound=Proposal)


@dataclass(frozen=True, slots=True)
class Terms(Generic[_C]):
    """A session's parameters, sent with the invitation.

    Parameters
    ----------
    run : str
        Names the run; fresh in every process of the server, so that no label comes twice.
    client : int or None
        The site's id where no roster gives it one.
    config : Config or Proposal
        Of the aggregation; its length counts the metrics. A Proposal until a site has compared it
        with its own settings.
    metrics : dict of str to float
        Metrics in the masked vector, each with its bound.
    privacy : str or None
        Digest of the mechanism's parameters.
    """

    run: str
    client: int | None
    config: _C
    metrics: dict[str, float] = field(default_factory=dict)
    privacy: str | None = None

    def encode(self) -> bytes:
        """Encode as JSON."""
        return json.dumps(self.to_dict()).encode()

    @classmethod
    def decode(cls, payload: bytes) -> Terms[Proposal]:
        """Decode a server's invitation; compare it, then take `accepted`.

        Raises
        ------
        MalformedMessage
            If something does not fit.
        """
        if len(payload) > _MAX_BYTES:
            raise MalformedMessage("terms: expected a short invitation")
        try:
            return _read(json.loads(payload), Proposal)
        except _FAULTS as error:
            raise MalformedMessage(f"terms: the invitation does not fit: {error}") from error

    def accepted(self) -> Terms[Config]:
        """Derive what follows from the configuration, which has been compared.

        Raises
        ------
        MalformedMessage
            If nothing safe follows from it.
        """
        try:
            config = Config.of(self.config)
        except _FAULTS as error:
            raise MalformedMessage(f"terms: the invitation does not fit: {error}") from error
        return Terms(self.run, self.client, config, self.metrics, self.privacy)

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
    def from_dict(cls, values: Mapping[str, Any]) -> Terms[Config]:
        """Read what `to_dict` returned; every field is checked."""
        return _read(values, Config)


_FAULTS = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)


def _read(values: Mapping[str, Any], kind: type[_C]) -> Terms[_C]:
    names = {field.name for field in fields(Terms)}
    if set(values) != names:
        raise ValueError(f"expected the fields {sorted(names)}")
    run, client, privacy = values["run"], values["client"], values["privacy"]
    if not isinstance(run, str) or not isinstance(privacy, str | None):
        raise TypeError("run and privacy: expected text")
    if len(run.encode()) > _MAX_RUN_BYTES:
        raise ValueError(f"run: expected at most {_MAX_RUN_BYTES} bytes of text")
    if not run.isprintable():
        raise ValueError("run: expected printable text: it is quoted in logs")
    if client is not None:
        if isinstance(client, bool) or not isinstance(client, int):
            raise TypeError("client: expected an id")
        if not 0 <= client <= _MAX_CLIENT:
            raise ValueError("client: expected an id from 0 to 2**32 - 2")
    metrics = {str(name): float(bound) for name, bound in values["metrics"].items()}
    return Terms(run, client, kind.from_dict(values["config"]), metrics, privacy)


def describe_privacy(privacy: Any) -> str | None:
    """Digest of a mechanism and its parameters, equal at both sides or refused."""
    if privacy is None:
        return None
    text = json.dumps([type(privacy).__qualname__, privacy.to_dict()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
