"""What a site's app is shown of a request, and the context that binds the masks to all of it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from veil.integrations.flower.envelope import without_envelope
from veil.secagg import context

if TYPE_CHECKING:
    from flwr.app import Context, Message

    from veil.integrations.flower.terms import Terms
    from veil.secagg import Config

__all__ = ["Shown"]

_SITES_OWN = ("client",)  # terms that differ from site to site


@dataclass(frozen=True, slots=True)
class Shown:
    """A request as the app sees it, and the hash of all that the server could set in it.

    Flower's ids of message, node and task, and its times, differ from node to node: they reach the
    app and are not bound.

    Parameters
    ----------
    message : Message
        Without Veil's records.
    run_config : mapping of str to scalar
        The run's configuration: it comes from the server too.
    """

    message: Message
    run_config: Mapping[str, Any]

    @classmethod
    def of(cls, message: Message, node: Context) -> Shown:
        """Take Veil's records out of a message."""
        shown = copy(message)
        shown.content = without_envelope(message.content)
        return cls(shown, dict(node.run_config))

    def context(self, terms: Terms[Config], session: int) -> bytes:
        """Hash it with the session's terms; to be called before the app, which may change it."""
        content, metadata = self.message.content, self.message.metadata
        agreed = {name: v for name, v in terms.to_dict().items() if name not in _SITES_OWN}
        return context(
            model={name: _arrays(record) for name, record in content.array_records.items()},
            round=session,
            instructions={
                "config": {name: dict(r) for name, r in content.config_records.items()},
                "metrics": {name: dict(r) for name, r in content.metric_records.items()},
                "run_config": self.run_config,
                "run_id": metadata.run_id,
                "group_id": metadata.group_id,
                "message_type": metadata.message_type,
                "ttl": metadata.ttl,
            },
            shared={},
            settings={},
            terms=agreed,
        )


def _arrays(record: Any) -> list[list[Any]]:
    """Arrays in the order in which they came, as serialised: an app may go by all of that."""
    return [[name, a.dtype, list(a.shape), a.stype, a.data] for name, a in record.items()]
