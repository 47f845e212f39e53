"""Distributed differential privacy: each site adds its share of the noise before it masks.

Record level: DP-SGD (Abadi et al. 2016, arXiv 1607.00133) over the union of the sites. Client
level: Kairouz, Liu and Steinke 2021, arXiv 2102.06387; Agarwal, Kairouz and Liu 2021, arXiv
2110.04995.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from veil import _core
from veil.errors import DataError, ProtocolError
from veil.fl.layout import Entry, Layout
from veil.fl.privacy import _words
from veil.fl.privacy.clipping import CLIP_GUARD
from veil.fl.privacy.distributed_plan import DistributedPlan, given
from veil.fl.privacy.intake import check_model
from veil.fl.privacy.rounding import conditional_points, stochastic_points
from veil.fl.privacy.sampled import (
    check_mean_only,
    check_rounds,
    check_units,
    gradient_step,
    private_task,
    sampled_sum,
    try_gradients,
)
from veil.fl.protocols import Aggregator, Strategy, Task
from veil.fl.records import Params, SiteRound, State, Sum, Upload
from veil.fl.secure import Dropouts, SecureSum
from veil.fl.sites import Site
from veil.fl.statement import PrivacyStatement
from veil.secagg import MemoryReplayGuard, Policy

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from veil.random import SecureGenerator
    from veil.secagg.graph import Adversary
    from veil.secagg.replay import ReplayGuard

__all__ = ["DistributedDP"]

_log = logging.getLogger("veil.fl")


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributedDP(DistributedPlan):
    """Differential privacy with nobody trusted: secure aggregation of sums with noise in them.

    The models of all rounds together are (ε, δ)-differentially private for every patient (record,
    site), with ε = ``epsilon(δ)``, towards the server together with up to `max_corrupt` sites, and
    towards everyone else but the patient's own site.

    With ``unit="patient"`` or ``"record"`` each site includes each of its patients with
    probability q, independently; sums their gradients, each clipped to norm C; rounds the sum to a
    lattice; adds its share of noise; and masks. The server sees one noisy sum, divides it by q·N
    and steps. With ``unit="site"`` each site trains as the strategy says, clips the model's change
    to norm C, rotates it if asked, rounds, adds its share and masks; all sites weigh the same. No
    weight and no count leaves a site.

    Parameters
    ----------
    noise_multiplier : float
        z: noise of the `min_survivors` − `max_corrupt` honest shares together, per sensitivity.
    max_norm : float
        C, the L2 norm to which a patient's gradient, or a site's change of the model, is clipped.
    unit : {"patient", "record", "site"}
        Whom to protect. ``"patient"`` sums a patient's rows before clipping and needs
        ``Site.patients``; ``"record"`` says that each row is its own patient.
    rounds : int
        Most rounds that may be run: what is accounted.
    size : int
        Values of the model, ``Layout.size``.
    sites : int
        Most sites that take part in a round, at least 3.
    min_survivors : int
        Fewest sites whose sum is opened; at least ``max_corrupt + 2``.
    max_corrupt : int
        Sites that may collude with the server: their shares of noise count for nothing.
    sampling_probability : float or None
        q in (0, 1], public and one for all sites; None for ``unit="site"``, where the server sees
        who takes part, so that sampling sites would amplify nothing.
    population : int or None
        N, number of patients (or records) that all sites train on: public, fixed, part of the
        denominator. None for ``unit="site"``.
    distribution : {"discrete-gaussian", "skellam"}
        Family of the noise; Skellam for ``unit="site"`` alone.
    rotation_seed : bytes or None
        32 public bytes, chosen without looking at the data: sites rotate by a randomised Hadamard
        transform before they round, so that fewer bits do. ``unit="site"`` alone.
    max_rows_per_patient : int or None
        Rows of a patient that count in a round, the first in the site's order: a public bound on
        the work that one patient makes. Required for ``unit="patient"``, None otherwise.

    Raises
    ------
    ValueError
        If a parameter is out of range or does not go with the others, `min_survivors` is at most
        ``max_corrupt + 1``, or a site's share of noise is below 2.67 lattice units.

    Notes
    -----
    Sites that leave out their noise are outside the model; at most `max_corrupt` may. When S sites
    survive, the noise has S/m times the variance that the event names, m = `min_survivors` −
    `max_corrupt`: that is what it costs to trust nobody. Samples, rounding and noise come from
    `veil.random.SecureGenerator`. Nothing about the data makes a site refuse: a patient whose
    gradient cannot be computed or is not finite counts as zero, and so does the whole change of a
    site whose training fails where the site is the unit; the log "veil.fl" tells, to the site
    alone. Nothing here is constant time: a site's work grows with the patients drawn.

    References
    ----------
    Kairouz, Liu and Steinke 2021, The distributed discrete Gaussian mechanism for federated
    learning with secure aggregation, arXiv 2102.06387.

    Examples
    --------
    >>> dp = veil.fl.DistributedDP(
    ...     noise_multiplier=1.5, max_norm=1.0, unit="record", rounds=2250, size=15, sites=5,
    ...     min_survivors=5, max_corrupt=1, sampling_probability=0.04, population=500)
    >>> round(dp.epsilon(delta=1e-5), 2), round(dp.share.sigma / dp.shares.sensitivity, 4)
    (6.77, 0.75)
    """

    def secure_sum(
        self,
        *,
        adversary: Adversary,
        dropouts: Dropouts | None = None,
        threads: int | None = None,
    ) -> SecureSum:
        """Make the aggregator that fits: codec, noise and thresholds are this mechanism's.

        Parameters
        ----------
        adversary : {"honest-but-curious", "malicious"}
            Whether the server is trusted to follow the protocol.
        dropouts : callable, optional
            As for `SecureSum`, for simulation.
        threads : int, optional
            Most threads for unmasking.

        Returns
        -------
        SecureSum
            For `simulate`.
        """
        return SecureSum(
            codec=self.shares.codec,
            dropout=None,
            corrupt=self.max_corrupt,
            adversary=adversary,
            min_survivors=self.min_survivors,
            weight_max=None,
            noise=self.share,
            dropouts=dropouts,
            threads=threads,
        )

    def policy(
        self,
        *,
        min_cohort: int,
        roster: Mapping[int, Ed25519PublicKey] | None,
        min_set_difference: int | None = None,
        replay: ReplayGuard | None = None,
    ) -> Policy:
        """Make what a site accepts: sessions of this mechanism alone.

        Parameters
        ----------
        min_cohort : int
            Fewest sites that begin a round, at least `min_survivors`.
        roster : mapping of int to Ed25519PublicKey or None
            Every site's identity key, against a server that may deviate; None trusts it to follow
            the protocol.
        min_set_difference : int, optional
            As for `veil.secagg.Policy`.
        replay : ReplayGuard, optional
            As for `veil.secagg.Policy`.

        Returns
        -------
        Policy
            With the codec, the share of noise, the length and the thresholds of this mechanism, and
            no weights.

        Raises
        ------
        ValueError
            If the limits contradict the roster.
        """
        return Policy(
            min_cohort=min_cohort,
            min_survivors=self.min_survivors,
            max_corrupt=self.max_corrupt,
            codec=self.shares.codec,
            length=self.length,
            weight_max=None,
            noise=self.share,
            roster=roster,
            min_set_difference=min_set_difference,
            replay=MemoryReplayGuard() if replay is None else replay,
        )

    def check(
        self,
        task: Task,
        strategy: Strategy,
        aggregator: Aggregator,
        sites: Sequence[Site],
        *,
        rounds: int,
    ) -> None:
        """Refuse, before any data is touched, what the guarantee would not cover.

        Parameters
        ----------
        task : Task
            Must know its gradients per record, unless the unit is a site.
        strategy : Strategy
            Must need nothing but a mean model change.
        aggregator : Aggregator
            Whose server sees the sum alone, with this mechanism's codec, noise and thresholds.
        sites : sequence of Site
            Whose patients must fit `unit`.
        rounds : int
            Rounds to be run.

        Raises
        ------
        TypeError
            If the task has no per-record gradients, or returns none on rows of zeros.
        ValueError
            If the strategy reads single updates or has a part in local training, or `rounds`
            exceeds the plan.
        ProtocolError
            If the aggregator's server could read a single site's vector, or it agrees on another
            codec, noise or threshold; or there are too few or too many sites.
        DataError
            If the sites' patients do not fit `unit`, a patient is declared at two sites, or the
            task raises on rows of zeros.
        """
        check_rounds(rounds, self.rounds)
        if self.unit == "site":
            check_mean_only(strategy, why="only the sites' clipped changes are summed")
        else:
            private_task(task)
            check_mean_only(strategy, why="DP-FedSGD has no local training")
            check_units(sites, self.unit)
            try_gradients(task, sites)
        if not self.min_survivors <= len(sites) <= self.sites:
            raise ProtocolError(
                f"sites: expected {self.min_survivors} (min_survivors) to {self.sites}, got "
                f"{len(sites)}"
            )
        self._check_aggregator(aggregator, len(sites))

    def _check_aggregator(self, aggregator: Aggregator, sites: int) -> None:
        if aggregator.sees_individual_updates or not hasattr(aggregator, "config"):
            raise ProtocolError(
                f"aggregator: {type(aggregator).__name__} would show the server each site's sum, "
                "whose noise is only a share; pass the result of secure_sum()"
            )
        config = aggregator.config(sites=sites, length=self.length)
        agreed = {
            "codec": (self.shares.codec, config.codec),
            "noise": (self.share, config.noise),
            "min_survivors": (self.min_survivors, config.min_survivors),
            "corrupt": (self.max_corrupt, config.corrupt),
            "weight_max": (None, config.weight_max),
        }
        for name, (own, theirs) in agreed.items():
            if own != theirs:
                raise ProtocolError(
                    f"aggregator: {name}: expected {own}, got {theirs}; pass the result of "
                    "secure_sum()"
                )

    def upload_layout(self, layout: Layout) -> Layout:
        """Describe an upload: lattice points with noise in them.

        Parameters
        ----------
        layout : Layout
            The model's layout.

        Returns
        -------
        Layout
            One entry of int64.

        Raises
        ------
        DataError
            If the model is not of `size` values.
        """
        self.check_layout(layout)
        return Layout((Entry("points", (self.length,), "int64"),))

    def contribute(self, strategy: Strategy, work: SiteRound) -> Upload:
        """Do a site's part: sum or train, clip, round, add its share of noise.

        Parameters
        ----------
        strategy : Strategy
            Trains when the unit is a site; not asked otherwise.
        work : SiteRound
            What the site has in hand.

        Returns
        -------
        Upload
            Lattice points, for a mask; no weight.

        Raises
        ------
        DataError
            If the model is of another size, not finite, or its values exceed what `check_model`
            allows; no data was touched then. Nothing about the data raises.
        """
        self.check_layout(work.layout)
        check_model(work.layout, work.vector)
        keep: State = {}
        if self.unit == "site":
            points, keep = self._of_site(strategy, work)
        else:
            points = self._of_records(work)
        return Upload(self._noisy(points, work.rng), None, keep)

    def nothing(self, layout: Layout, rng: SecureGenerator) -> Upload:
        """Make what a site sends whose data cannot be had: its share of noise, on zeros.

        Parameters
        ----------
        layout : Layout
            The model's layout.
        rng : SecureGenerator
            Draws the noise.

        Returns
        -------
        Upload
            Lattice points, of the form of all others.

        Raises
        ------
        DataError
            If the model is not of `size` values.
        """
        self.check_layout(layout)
        return Upload(self._noisy(np.zeros(self.length, np.int64), rng), None)

    def _noisy(self, points: NDArray[np.int64], rng: SecureGenerator) -> NDArray[np.int64]:
        points += self.share.sampler().sample(points.size, rng)
        return points

    def _of_records(self, work: SiteRound) -> NDArray[np.int64]:
        shares = self.shares
        q, most_rows = given(self, "sampling_probability"), self.max_rows_per_patient
        total = sampled_sum(work, q=q, clip=self.max_norm, most_rows=most_rows)
        with np.errstate(under="ignore"), _core.SubnormalsAsZero():
            total /= shares.granularity
            np.clip(total, -shares.most, shares.most, out=total)
        return stochastic_points(total, work.rng)

    def _of_site(self, strategy: Strategy, work: SiteRound) -> tuple[NDArray[np.int64], State]:
        shares = self.shares
        keep: State = {}
        try:
            upload = strategy.train(work)
            change, keep = self._rotated(upload.vector), upload.keep
        except KeyboardInterrupt:  # the operator stops the site
            raise
        except BaseException:
            # One site is the unit: it counts as zero, and its noise is sent all the same.
            _log.exception("site %s: no change of the model; it counts as zero", work.site.id)
            change = np.zeros(self.length)
        with np.errstate(all="ignore"):  # an infinite norm gives a factor of 0
            norm = np.sqrt(np.square(change).sum())
            factor = min(1.0, self.max_norm / (norm * CLIP_GUARD)) / shares.granularity
        with np.errstate(under="ignore"), _core.SubnormalsAsZero():
            change *= factor
        return conditional_points(change, shares.sensitivity, work.rng), keep

    def _rotated(self, change: NDArray[Any]) -> NDArray[np.float64]:
        """Return a new vector, rotated if asked, or raise DataError if it is no finite change."""
        # No subclass: the norm of a masked array passes over entries that are sent.
        if type(change) is not np.ndarray or change.dtype.kind != "f":
            raise DataError(f"change: expected an ndarray of floats, got {type(change).__name__}")
        if change.shape != (self.size,):
            raise DataError(f"change: expected {self.size} floats, got shape {change.shape}")
        with np.errstate(all="ignore"):
            wide, rotation = change.astype(np.float64), self.rotation
        rotated = wide if rotation is None else rotation.apply(wide)
        # After the rotation, which overflows where the change did not: a NaN in it has no norm.
        if not np.isfinite(rotated).all():
            raise DataError(
                "change: not finite, or too large to be rotated; lower the learning rate"
            )
        return rotated

    def release(self, total: Sum, *, task: Task, params: Params, rng: SecureGenerator) -> Sum:
        """Turn the noisy sum into a model change; the server adds nothing.

        Parameters
        ----------
        total : Sum
            As the secure aggregation opened it.
        task : Task
            Gives step size and penalty, which depends on the model alone.
        params : dict of str to ndarray
            The model of this round.
        rng : SecureGenerator
            Not used.

        Returns
        -------
        Sum
            Whose mean is −η·(sum/(q·N) + penalty gradient), or the survivors' mean change.

        Raises
        ------
        ProtocolError
            If the sum carries a weight, or is of fewer sites than `min_survivors`.
        """
        if total.weight is not None:
            raise ProtocolError("weight: expected None under differential privacy, got a count")
        if len(total.survivors) < self.min_survivors:
            raise ProtocolError(
                f"survivors: expected at least {self.min_survivors}, got {len(total.survivors)}; "
                "the sum has too little noise"
            )
        if self.unit == "site":
            rotation = self.rotation
            change = total.total if rotation is None else rotation.undo(total.total)
            return Sum(change, None, total.survivors)
        expected = given(self, "sampling_probability") * given(self, "population")
        return gradient_step(total.total, expected, task=task, params=params, total=total)

    def statement(self, layout: Layout, *, seeded: bool) -> PrivacyStatement:
        """Say everything about the guarantee that a report must.

        Parameters
        ----------
        layout : Layout
            The model's layout.
        seeded : bool
            Whether samples and noise came from a seed.

        Returns
        -------
        PrivacyStatement
            The claim, its assumptions and its limits.
        """
        self.check_layout(layout)
        shares, record = self.shares, self.unit != "site"
        return PrivacyStatement(
            mechanism="distributed DP-FedSGD" if record else "distributed DP of sites' changes",
            unit=self.unit,
            relation=self.relation,
            sensitivity=self.max_norm,
            sensitivity_widened=shares.sensitivity * shares.granularity,
            sigma=self.share.sigma * self.honest**0.5 * shares.granularity,
            granularity=shares.granularity,
            event=self.event().to_dict(),
            slack=self.rounds * shares.slack,
            exact_from="sum",
            trusted=_words.trusted(self.unit, self.max_corrupt),
            account=_words.ACCOUNT,
            public=_words.public(self),
            caveats=_words.caveats(self),
            seeded=seeded,
        )
