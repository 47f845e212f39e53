"""One message at a site: what is public first, then the account, then data, then the answer's time.

Under a mechanism the order is what protects. Everything that may refuse looks at public bytes or at
the site's ledger. From the moment data is touched the site answers, whatever happens: a server
that could see a refusal, its text or its time would learn from it without noise.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from veil.errors import DataError, PolicyRefused, VeilError
from veil.fl import DistributedDP
from veil.fl.layout import Layout
from veil.fl.site_account import SiteAccount
from veil.integrations.flower.account import charge, open_account, open_ledger, require_left
from veil.integrations.flower.deadline import Deadline
from veil.integrations.flower.privacy import check_incoming
from veil.integrations.flower.terms import Terms
from veil.integrations.flower.vectors import Contribution, Model
from veil.secagg import Client, Config

if TYPE_CHECKING:
    from flwr.app import Context, Message

    from veil.dp import Ledger

__all__ = ["Train", "Turn", "Work", "own_code"]

Train = Callable[["Message", Model, Config], Contribution]
"""From a message without Veil's records, its model and the session to what the site brings."""

_UNFIT = "data: they do not load at this site, or do not fit the mechanism; its own log says why"
_log = logging.getLogger("veil.flower")


@dataclass(frozen=True, slots=True)
class Work:
    """What an app does at its site.

    Parameters
    ----------
    train : callable
        As `Train`; under a mechanism nothing about the data makes it raise.
    layout : callable or None
        Gives the layout of the model that is trained, without touching data; None where the app
        alone knows it.
    ready : callable or None
        Loads the data, raises if they do not fit the mechanism, and gives their population's name.
    """

    train: Train
    layout: Callable[[], Layout] | None = None
    ready: Callable[[], str] | None = None


class Turn:
    """Answers one message under a site's settings.

    Parameters
    ----------
    site : Participant
        The settings: ledger, label, privacy, answer_after.
    context : Context
        The node's.
    work : Work
        The app's part.
    """

    def __init__(self, site: Any, context: Context, work: Work) -> None:
        self.deadline = Deadline(site.answer_after)
        self._site = site
        self._context = context
        self._work = work
        self._ledger: Ledger | None = None
        self._account: SiteAccount | None = None

    def admit(self, terms: Terms[Config], *, first: bool) -> None:
        """Refuse an invitation to a round that could not be answered later.

        Whether the data load and fit is one bit about them. It is told once in a run, before any
        model has come, so that no server chooses what it depends on.

        Raises
        ------
        PolicyRefused
            If the site's ledger is missing, unusable, of another population or spent; or, at the
            first invitation of a run, if its data do not load or do not fit the mechanism.
        """
        privacy = self._site.privacy
        if privacy is None:
            return
        account = self._open_account()
        if account is not None:
            require_left(account, rounds=privacy.rounds)
        if not first:
            return
        name = self._context.node_config.get("site")
        if self._work.ready is not None:
            self.deadline.touched = True
            try:
                name = self._work.ready()
            except KeyboardInterrupt:  # the operator stops the site
                raise
            except BaseException as error:
                _log.exception("the data do not load, or do not fit the mechanism")
                raise PolicyRefused(_UNFIT) from error
        self._check_population(name)

    def bring(self, client: Client, message: Message, model: Model, config: Config) -> Contribution:
        """Make what the site brings to a session, charged before data is touched.

        Raises
        ------
        PolicyRefused
            If the model is not the planned one, not finite or too large, the session's codec is too
            coarse, or the site's ledger does not allow the round.
        """
        privacy = self._site.privacy
        if privacy is not None:
            self._check_public(privacy, model, config)
            account = self._open_account()
            if account is not None:
                charge(account, client.session_id, rounds=privacy.rounds)
        self.deadline.touched = True
        return self._work.train(message, model, config)

    def _check_public(self, privacy: Any, model: Model, config: Config) -> None:
        try:
            if self._work.layout is not None and model.layout != self._work.layout():
                raise DataError("model: its arrays are not those of this site's task")
            check_incoming(privacy, model, config)
        except DataError as error:
            raise PolicyRefused(str(error)) from error

    def _open_account(self) -> SiteAccount | None:
        """Open the ledger, once for a message."""
        site = self._site
        if self._account is None:
            self._ledger = open_ledger(site.ledger, self._context, site.privacy)
            if self._ledger is not None:
                self._account = open_account(
                    self._ledger, site.privacy, size=self._size(), label=site.label
                )
        return self._account

    def _size(self) -> int:
        """Values of the model as this site knows them, never as the server says."""
        if isinstance(self._site.privacy, DistributedDP):
            return int(self._site.privacy.size)
        assert self._work.layout is not None  # CentralDP is for tasks
        return self._work.layout().size

    def _check_population(self, name: Any) -> None:
        known = None if self._ledger is None else self._ledger.settings.population
        if known is not None and name is not None and known != name:
            _log.warning("the ledger is of the population %r, the data are of %r", known, name)
            raise PolicyRefused("ledger: this site's ledger is of another population than its data")


@contextmanager
def own_code() -> Iterator[None]:
    """Keep what a site's own code raises from being taken for Veil's, whose text is sent."""
    try:
        yield
    except KeyboardInterrupt:  # the operator stops the site
        raise
    except BaseException as error:
        if isinstance(error, Exception) and not isinstance(error, VeilError):
            raise
        raise RuntimeError(f"the site's own code raised {type(error).__name__}") from error
