"""What a replay guard remembers: bounded, and what was forgotten is refused.

| of | remembered | when there are more |
|---|---|---|
| runs, each with its last round | 16384 | a new run is refused |
| sessions, each with its last step | the newest 1024 | an older session does not go on |
| contexts that were masked | the newest 1024 | see below |
| members, and sets of them that were signed | 4096, 1024 | another set is refused |

Whoever floods the guard can stop its client, and nothing else. A context alone may be masked again
after 1024 others: a server that wants one model twice need not wait for that, for another last bit
of one weight is another context. Against that the sets help.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from veil.errors import PolicyRefused, StateReplayed

__all__ = ["Record"]

_RUNS, _SESSIONS, _CONTEXTS, _MEMBERS, _SETS = 1 << 14, 1 << 10, 1 << 10, 1 << 12, 1 << 10
_FORMAT = "veil/replay-guard/2"
_NAME = 32  # hexadecimal digits


@dataclass(slots=True)
class Record:
    """Everything that one guard remembers.

    Parameters
    ----------
    runs : dict of str to int
        Hash of a run's name to the last round of it.
    sessions : dict of str to int
        Hash of a session to the last step of it, in the order in which they began.
    contexts : list of str
        Hashes, latest last.
    members : list of str
        Hashes of identity keys; their places are the bits of the sets.
    sets : list of int
        Each as bits.
    """

    runs: dict[str, int] = field(default_factory=dict)
    sessions: dict[str, int] = field(default_factory=dict)
    contexts: list[str] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
    sets: list[int] = field(default_factory=list)

    def begin(self, name: str, number: int, session: bytes) -> None:
        """Use a round of a run for a session that has just drawn its keys."""
        run = _hash(name.encode())
        last = self.runs.get(run)
        if last is None and len(self.runs) >= _RUNS:
            raise PolicyRefused(
                f"replay: expected a guard with room for a new run, got one that knows {_RUNS} and "
                "must not forget any; number the rounds of one run, or give this client a new "
                "guard under a new identity"
            )
        if last is not None and number <= last:
            raise StateReplayed(
                f"{name}: expected a number above {last}, the last one used, got {number}; this "
                "state or label was used before, so start a new round"
            )
        self.runs[run] = number
        self.sessions[_hash(session)] = 0
        for oldest in list(self.sessions)[:-_SESSIONS]:
            del self.sessions[oldest]

    def advance(
        self, session: bytes, step: int, context: bytes, members: Collection[bytes], apart: int
    ) -> None:
        """Use a step of a session, with its context or its set: all of it, or nothing."""
        last = self.sessions.get(_hash(session))
        if last is None:
            raise StateReplayed(
                "session: expected one that began under this guard, and is among the last "
                f"{_SESSIONS} that did, got another; start a new round"
            )
        if step <= last:
            raise StateReplayed(
                f"session: expected a number above {last}, that of its last step, got {step}; this "
                "state was used before, so start a new round"
            )
        if context and _hash(context) in self.contexts:
            raise StateReplayed(
                "context: expected one that no session of this client has masked under, got one "
                "that was used; put the round into it (veil.secagg.context), also when a round is "
                "tried again"
            )
        if members:
            self._sign(members, apart)
        if context:
            self.contexts = [*self.contexts[1 - _CONTEXTS :], _hash(context)]
        self.sessions[_hash(session)] = step

    def knows(self, session: bytes) -> bool:
        """Whether the session began under this guard, and not too long ago."""
        return _hash(session) in self.sessions

    def _sign(self, members: Collection[bytes], apart: int) -> None:
        names = [_hash(member) for member in members]
        known = self.members + [name for name in names if name not in self.members]
        places = {name: at for at, name in enumerate(known)}
        signed = sum(1 << places[name] for name in names)
        nearest = min((bin(signed ^ other).count("1") for other in self.sets), default=apart)
        if signed in self.sets:
            return
        if nearest < apart:
            raise PolicyRefused(
                f"min_set_difference: this client's policy expects a set of survivors that differs "
                f"from each one signed before by at least {apart} clients, got one that differs by "
                f"{nearest}: the difference of the two sums would show too few; wait for the "
                "clients that are missing"
            )
        if len(self.sets) >= _SETS or len(known) > _MEMBERS:
            raise PolicyRefused(
                f"replay: expected a guard with room for a new set of survivors, got one that "
                f"knows {len(self.sets)} sets of {len(self.members)} members and must not forget "
                "any; go on with sets that were signed before"
            )
        self.members, self.sets = known, [*self.sets, signed]

    def encode(self) -> bytes:
        """Encode with a checksum in front."""
        content = {
            "runs": self.runs,
            "sessions": self.sessions,
            "contexts": self.contexts,
            "members": self.members,
            "sets": [f"{bits:x}" for bits in self.sets],
        }
        text = json.dumps(content, separators=(",", ":")).encode()
        return f"{_FORMAT} {hashlib.sha256(text).hexdigest()}\n".encode() + text

    @classmethod
    def decode(cls, data: bytes) -> Record:
        """Inverse of `encode`; also reads the layout before this one, a JSON object.

        Raises
        ------
        ValueError
            If something does not fit.
        """
        if data[:1] == b"{":
            return cls._decode_first(json.loads(data))
        head, _, text = data.partition(b"\n")
        if head != f"{_FORMAT} {hashlib.sha256(text).hexdigest()}".encode():
            raise ValueError(f"expected {_FORMAT} and the checksum of what follows")
        content = json.loads(text)
        return cls(
            _counts(content["runs"]),
            _counts(content["sessions"]),
            list(content["contexts"]),
            list(content["members"]),
            [int(bits, 16) for bits in content["sets"]],
        )

    @classmethod
    def _decode_first(cls, names: Mapping[str, Any]) -> Record:
        """Take over the runs; a session of the earlier layout is unknown, so it does not go on."""
        runs = {
            _hash(name.encode()): number
            for name, number in _counts(names).items()
            if not name.startswith("session ")
        }
        return cls(runs=runs)


def _hash(name: bytes) -> str:
    return hashlib.sha256(name).hexdigest()[:_NAME]


def _counts(values: Any) -> dict[str, int]:
    if not isinstance(values, dict) or not all(type(v) is int for v in values.values()):
        raise ValueError("expected whole numbers by name")
    return values
