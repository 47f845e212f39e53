"""Every exception and warning that Veil raises on its own account.

Faults of array arguments are plain ``TypeError`` and ``ValueError``; the classes here are for
faults that a caller may want to catch by meaning. Each also derives from the builtin that fits.
"""

__all__ = [
    "BadShares",
    "BoundExceeded",
    "BudgetExceeded",
    "ContextMismatch",
    "DataError",
    "LedgerError",
    "MalformedMessage",
    "PolicyRefused",
    "ProtocolError",
    "StateReplayed",
    "StreamExhausted",
    "TooFewSurvivors",
    "UnsupportedEvent",
    "UnsupportedLayer",
    "VeilError",
    "VeilWarning",
]


class VeilError(Exception):
    """Root of all exceptions that Veil defines."""


class VeilWarning(UserWarning):
    """Root of all warnings that Veil issues."""


class DataError(VeilError, ValueError):
    """The data does not allow what was asked: missing column, one class, NaN, wrong layout."""


class BoundExceeded(VeilError, OverflowError):
    """A sum would leave the range that it was given; nothing was added."""


class BudgetExceeded(VeilError, RuntimeError):
    """A release would spend more privacy than the ledger has left; nothing was released."""


class LedgerError(VeilError, RuntimeError):
    """The privacy ledger cannot be read, written or trusted."""


class ProtocolError(VeilError, RuntimeError):
    """A message of a protocol was refused; the session must not continue."""


class StateReplayed(ProtocolError):
    """A saved protocol state was used a second time."""


class MalformedMessage(ProtocolError, ValueError):
    """Bytes that are not a message of this protocol, version, session or step."""


class PolicyRefused(ProtocolError, PermissionError):
    """A local policy, or the agreed configuration, does not allow what the peer asks."""


class TooFewSurvivors(ProtocolError):
    """Fewer parties took part than the privacy or the correctness of the round needs."""


class BadShares(ProtocolError, ValueError):
    """Secret shares that do not fit together, or a secret that does not match its commitment."""


class ContextMismatch(ProtocolError, ValueError):
    """Clients were told different things, so their masks do not cancel; names what differs."""


class UnsupportedEvent(VeilError, ValueError):
    """No accountant of the ledger's relation and mode supports an event; nothing was charged."""


class UnsupportedLayer(VeilError, TypeError):
    """A model holds a layer for which per-sample gradients are not defined."""


class StreamExhausted(VeilError, RuntimeError):
    """A keystream has no block left where one was asked for; it never repeats, so use a new key."""
