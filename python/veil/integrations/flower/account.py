"""A site's ledger on Flower: found in the node's configuration, opened, or refused in public words.

What is wrong with the file stands in the site's own log. The server is told that there is no
account, or that its rounds are spent: the first says nothing about patients, and the second is a
count of rounds, which the server knows.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from veil.errors import BudgetExceeded, PolicyRefused, VeilError
from veil.fl import CentralDP, DistributedDP
from veil.fl.site_account import SiteAccount
from veil.integrations.flower.terms import describe_privacy

if TYPE_CHECKING:
    from flwr.app import Context

    from veil.dp import Ledger

__all__ = ["charge", "check_settings", "open_account", "open_ledger", "require_left"]

_MAKE = "make one with `veil ledger new`"
_log = logging.getLogger("veil.flower")


def check_settings(ledger: Any, label: str | None, metrics: Any, privacy: Any) -> None:
    """Refuse settings of an app that do not go with its mechanism.

    Raises
    ------
    ValueError
        If a ledger or a label is given without a mechanism, metrics with one, or a ledger that
        only this process has.
    """
    if privacy is None:
        if ledger is not None or label is not None:
            raise ValueError(
                "ledger, label: expected None without privacy=, of which nothing would be charged"
            )
        return
    if metrics:
        raise ValueError(
            "metrics: expected none under differential privacy: they would leave without noise"
        )
    _refuse_memory(ledger)


def open_ledger(setting: Any, context: Context, privacy: Any) -> Ledger | None:
    """Find and open a site's ledger; None where none is needed and none was named.

    Raises
    ------
    PolicyRefused
        If `DistributedDP` has none, or it cannot be opened.
    """
    found = setting(context) if callable(setting) else setting
    if found is None:
        found = context.node_config.get("ledger")
    if found is None:
        if isinstance(privacy, DistributedDP):
            raise PolicyRefused(
                "ledger: expected the path of this site's ledger in the node's configuration "
                f"(--node-config 'ledger=\"site.ledger\"'; {_MAKE})"
            )
        return None
    from veil.dp import Ledger

    try:
        _refuse_memory(found)
        return found if isinstance(found, Ledger) else Ledger.open(found)
    except (VeilError, TypeError, ValueError) as error:
        raise _unusable(error) from error


def open_account(
    ledger: Ledger, privacy: CentralDP | DistributedDP, *, size: int, label: str | None
) -> SiteAccount:
    """Reserve a mechanism's rounds in a site's ledger, once for all.

    Raises
    ------
    PolicyRefused
        If they do not fit, or the ledger accounts for something else.
    """
    name = label or f"{type(privacy).__name__} {str(describe_privacy(privacy))[:16]}"
    try:
        return SiteAccount.open(ledger, privacy, size=size, label=name)
    except BudgetExceeded as error:
        _log.warning("ledger %s: %s", ledger.path, error)
        raise PolicyRefused(
            f"ledger: the {privacy.rounds} rounds of this mechanism do not fit in what this site's "
            "ledger has left"
        ) from error
    except (VeilError, ValueError) as error:
        raise _unusable(error) from error


def require_left(account: SiteAccount, *, rounds: int) -> None:
    """Refuse an invitation to a round that could not be charged.

    Raises
    ------
    PolicyRefused
        If the rounds are spent.
    """
    if account.left:
        return
    _log.warning(
        "all %d rounds under %r in this site's ledger are spent; a further run of this mechanism "
        "needs a label= of its own, and budget for it", rounds, account.one.label,
    )  # fmt: skip
    raise _spent(rounds)


def charge(account: SiteAccount, session: bytes, *, rounds: int) -> None:
    """Charge a round to a site's account; a request that comes again costs nothing.

    Raises
    ------
    PolicyRefused
        If the rounds are spent, or the ledger cannot be written.
    """
    try:
        if not account.charge(f"session {session.hex()}"):
            _log.info("the request of a session that is charged already came again")
    except BudgetExceeded as error:
        raise _spent(rounds) from error
    except VeilError as error:
        raise _unusable(error) from error


def _spent(rounds: int) -> PolicyRefused:
    return PolicyRefused(
        f"ledger: all {rounds} rounds that this site's ledger reserves for this mechanism are spent"
    )


def _unusable(error: Exception) -> PolicyRefused:
    _log.warning(
        "ledger: %s. What to do: if it is missing, %s or correct the node's `ledger` setting; if "
        "another process holds it, wait for that or stop it; if it is damaged, keep it and do not "
        "put an older copy in its place, which would grant its charges again; if it is of another "
        "unit, relation or population, name the one of these patients", error, _MAKE,
    )  # fmt: skip
    return PolicyRefused("ledger: this site's ledger cannot be used; its own log says why")


def _refuse_memory(ledger: Any) -> None:
    from veil.dp import Ledger

    if isinstance(ledger, Ledger) and ledger.path is None:
        raise ValueError(
            "ledger: expected one with path=: each message is answered by a new process, in which "
            "a ledger in memory would have spent nothing"
        )
