"""What a privacy mechanism asks of a session, and its part at a site."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

from numpy.typing import NDArray

from veil.errors import DataError, PolicyRefused
from veil.fixed_point import FixedPoint
from veil.fl import CentralDP, DistributedDP, FedAvg, PlainSum, SiteRound
from veil.fl.privacy.intake import check_model
from veil.fl.privacy.sampled import check_rounds, check_units, private_task, try_gradients
from veil.fl.protocols import Task
from veil.fl.records import Upload
from veil.fl.sites import Site
from veil.integrations.flower.vectors import Contribution, Model
from veil.random import SecureGenerator
from veil.secagg import Config
from veil.secagg.proposal import Proposal

__all__ = ["check_incoming", "check_plan", "check_session", "noisy_change", "of_session"]

_LEAST_MARGIN = 0.9  # of the clipping norm that the codec's rounding must leave


def check_plan(privacy: Any, task: Task | None, sites: Sequence[Site], *, rounds: int) -> None:
    """Refuse a task, patients or rounds that the mechanism's guarantee does not cover.

    Raises
    ------
    TypeError
        If the task has no per-record gradients, or returns none on rows of zeros.
    ValueError
        If more rounds are asked for than were planned.
    DataError
        If patients do not fit the unit, or the task raises on rows of zeros.
    """
    if isinstance(privacy, CentralDP):
        privacy.check(cast("Task", task), FedAvg(), PlainSum(), sites, rounds=rounds)
    elif isinstance(privacy, DistributedDP):
        check_rounds(rounds, privacy.rounds)
        if privacy.unit != "site":
            private_task(cast("Task", task))
            check_units(sites, privacy.unit)
            try_gradients(cast("Task", task), sites)
    elif privacy is not None:
        raise TypeError(
            f"privacy: expected CentralDP or DistributedDP, got {type(privacy).__name__}"
        )


def check_session(privacy: Any, config: Proposal) -> None:
    """Refuse a session that is not the mechanism's, at either side; nothing is derived from it.

    Raises
    ------
    PolicyRefused
        If the codec, the noise, a threshold or the weights differ.
    """
    if privacy is not None and config.weight_max is not None:
        raise PolicyRefused("weight_max: expected None under differential privacy, got a count")
    if not isinstance(privacy, DistributedDP):
        if config.noise is not None:
            raise PolicyRefused("noise: expected none in this session, got a share of it")
        return
    for name, own, theirs in (
        ("codec", privacy.shares.codec, config.codec),
        ("noise", privacy.share, config.noise),
        ("min_survivors", privacy.min_survivors, config.min_survivors),
        ("corrupt", privacy.max_corrupt, config.corrupt),
        ("length", privacy.length, config.length),
    ):
        if own != theirs:
            raise PolicyRefused(
                f"{name}: expected the mechanism's {own}, got {theirs}; give SecureStrategy "
                "codec=dp.shares.codec, min_survivors=dp.min_survivors, corrupt=dp.max_corrupt"
            )


def of_session(privacy: Any, config: Config, size: int) -> Any:
    """Give the mechanism as a site runs it in a session.

    Raises
    ------
    PolicyRefused
        If the codec rounds too coarsely for it.
    """
    if not isinstance(privacy, CentralDP):
        return privacy
    return replace(privacy, max_grad_norm=norm_before_rounding(privacy, config.codec, size))


def norm_before_rounding(privacy: CentralDP, codec: FixedPoint, size: int) -> float:
    """Find a clipping norm whose sums, once rounded, differ by no more than the mechanism's."""
    most = privacy.max_grad_norm
    norm = most - (codec.l2_sensitivity(most, size, "record") - most) * (1 + 1e-12)
    if norm < _LEAST_MARGIN * most:
        raise PolicyRefused(
            f"codec: rounding may move a sum by {most - norm:.3g}, too much for a clipping norm of "
            f"{most:g}; use more bits or a smaller clip"
        )
    assert codec.l2_sensitivity(norm, size, "record") <= most
    return norm


def check_incoming(privacy: Any, model: Model, config: Config) -> None:
    """Refuse, on public grounds, a model or a session that a mechanism cannot answer.

    Raises
    ------
    DataError
        If the model is of another size than planned or than the session, not finite, or too large.
    PolicyRefused
        If the codec rounds too coarsely.
    """
    check_model(model.layout, model.vector)
    size = privacy.upload_layout(model.layout).size
    if size != config.length:
        raise DataError(
            f"model: its upload has {size} values, the session was set up for {config.length}"
        )
    of_session(privacy, config, model.layout.size)


@dataclass(frozen=True, slots=True)
class _Trained:
    """Stands for the strategy of a site whose training the user's app does."""

    change: Callable[[], NDArray[Any]]

    def train(self, work: SiteRound) -> Upload:
        """Return what the app trains."""
        return Upload(self.change(), None)


def noisy_change(
    privacy: DistributedDP, change: Callable[[], NDArray[Any]], model: Model
) -> Contribution:
    """Clip a site's change of the model and add its share of the noise.

    A change that cannot be had, because `change` raises or gives no finite vector of the model's
    size, counts as zero; the noise is added all the same.
    """
    work = SiteRound(
        task=cast("Any", None),
        site=cast("Any", SimpleNamespace(id="this site")),
        layout=model.layout,
        vector=model.vector,
        buffers={},
        shared={},
        own={},
        rng=SecureGenerator(),
    )
    brought = privacy.contribute(cast("Any", _Trained(change)), work)
    return Contribution(brought.vector, None, {})
