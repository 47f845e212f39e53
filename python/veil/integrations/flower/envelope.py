"""What Veil puts into a Flower message: protocol steps, each one array of bytes.

Payloads travel as uint8 arrays in an ArrayRecord, which Flower cuts into chunks; bytes in a
ConfigRecord would not be. Everything from the other side is checked before it is used.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from veil._optional import require
from veil.errors import MalformedMessage

if TYPE_CHECKING:
    from flwr.app import RecordDict

__all__ = ["HEAD", "PARTS", "VERSION", "Envelope", "Step", "printable", "without_envelope"]

VERSION = "veil/flower/1"
HEAD, PARTS = "veil", "veil.parts"  # names of the two records
STEPS = ("advertise", "share", "mask", "confirm", "unmask")
_MAX_STEPS = 4
_MAX_REASON = 400
_STEP = re.compile(r"([a-z]+):([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Step:
    """One message of one session of the protocol."""

    name: str
    session: int
    payload: bytes = field(repr=False)

    @property
    def key(self) -> str:
        """Name of its array."""
        return f"{self.name}:{self.session}"


@dataclass(frozen=True, slots=True)
class Envelope:
    """The steps that one Flower message carries, and the steps that a site refused."""

    steps: tuple[Step, ...]
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> bytes:
        """Hash of all steps: the same request has the same digest."""
        sha = hashlib.sha256(VERSION.encode())
        for step in self.steps:
            for part in (step.key.encode(), step.payload):
                sha.update(len(part).to_bytes(8, "little") + part)
        return sha.digest()

    @property
    def nbytes(self) -> int:
        """Bytes of the payloads."""
        return sum(len(step.payload) for step in self.steps)

    def records(self) -> dict[str, Any]:
        """Encode as Flower records."""
        flwr = require("flwr.app", "flower")
        head = {"version": VERSION, "steps": [step.key for step in self.steps]}
        if self.refused:
            head["refused"] = [f"{key} {reason[:_MAX_REASON]}" for key, reason in
                               self.refused.items()]  # fmt: skip
        parts = {step.key: flwr.Array(_as_array(step.payload)) for step in self.steps}
        return {HEAD: flwr.ConfigRecord(head), PARTS: flwr.ArrayRecord(parts)}

    @classmethod
    def of(cls, content: RecordDict) -> Envelope:
        """Decode a message's records.

        Raises
        ------
        MalformedMessage
            If they are missing, of another version, or anything in them does not fit.
        """
        head, parts = content.get(HEAD), content.get(PARTS)
        flwr = require("flwr.app", "flower")
        if not isinstance(head, flwr.ConfigRecord) or not isinstance(parts, flwr.ArrayRecord):
            raise MalformedMessage(f"expected the records {HEAD!r} and {PARTS!r} of Veil")
        if head.get("version") != VERSION:
            raise MalformedMessage(
                f"expected messages of {VERSION}, got {str(head.get('version'))[:40]!r}; run the "
                "same release of Veil at every party"
            )
        keys = head.get("steps")
        if not isinstance(keys, list) or len(keys) > _MAX_STEPS or len(set(keys)) != len(keys):
            raise MalformedMessage(f"steps: expected at most {_MAX_STEPS} different ones")
        if set(keys) != set(parts):
            raise MalformedMessage("expected one array for each step")
        return cls(tuple(_step(key, parts[key]) for key in keys), _refusals(head.get("refused")))


def without_envelope(content: RecordDict) -> RecordDict:
    """Return a message's records without Veil's: what the user's app is shown.

    Records, and the entries of all that are no arrays, come in the order of their names: masks are
    bound to what is in them, so their order may not tell the app anything.
    """
    flwr = require("flwr.app", "flower")
    kept: RecordDict = flwr.RecordDict(
        {name: _in_order(content[name]) for name in sorted(content) if name not in (HEAD, PARTS)}
    )
    return kept


def _in_order(record: Any) -> Any:
    flwr = require("flwr.app", "flower")
    if isinstance(record, flwr.ArrayRecord):
        return record  # the order of a model's arrays has a meaning
    return type(record)({key: record[key] for key in sorted(record)})


def _as_array(payload: bytes) -> Any:
    return np.frombuffer(payload, np.uint8)


def _step(key: object, array: Any) -> Step:
    found = _STEP.fullmatch(key) if isinstance(key, str) else None
    if found is None or found[1] not in STEPS:
        raise MalformedMessage(f"expected a step such as 'mask:3', got {str(key)[:40]!r}")
    return Step(found[1], int(found[2]), _payload(array))


def _payload(array: Any) -> bytes:
    """Read an array of bytes without trusting the shape that it claims."""
    try:
        stream = io.BytesIO(array.data)
        if array.stype != "numpy.ndarray" or np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError("not an array of NumPy")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        content = array.data[stream.tell() :]
    except (ValueError, TypeError, AttributeError, EOFError) as error:
        raise MalformedMessage("expected an array of bytes, got something else") from error
    if dtype != np.uint8 or shape != (len(content),):
        raise MalformedMessage("expected a flat array of bytes, whole and with nothing after it")
    return bytes(content)


def _refusals(lines: object) -> dict[str, str]:
    if lines is None:
        return {}
    if not isinstance(lines, list) or len(lines) > _MAX_STEPS:
        raise MalformedMessage("refused: expected a short list of strings")
    split = [str(line).partition(" ") for line in lines]
    return {key: printable(reason) for key, _, reason in split}


def printable(reason: str) -> str:
    """Cut a reason, which may quote the other side, to what cannot forge a line of a log."""
    return "".join(c for c in reason[:_MAX_REASON] if c.isprintable())


def by_step(replies: Mapping[int, Envelope], name: str, session: int) -> dict[int, bytes]:
    """Payloads of one step, by node."""
    return {
        node: step.payload
        for node, envelope in replies.items()
        for step in envelope.steps
        if (step.name, step.session) == (name, session)
    }


def gathered(*requests: Mapping[int, Step]) -> dict[int, Sequence[Step]]:
    """Put requests of several sessions together, by node."""
    nodes = sorted({node for request in requests for node in request})
    return {node: [r[node] for r in requests if node in r] for node in nodes}
