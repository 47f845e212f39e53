"""DP-FedSGD with a trusted server.

Record-level DP-SGD (Abadi et al. 2016, arXiv 1607.00133) over the union of the sites: a Poisson
sample of patients, clipped gradients, one noisy sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from veil.dp._slack import leaving_slack
from veil.errors import DataError, ProtocolError
from veil.fl import _checks
from veil.fl.layout import Entry, Layout
from veil.fl.privacy._noise import LatticeGaussian, NoisePlan
from veil.fl.privacy._words import SERVER_ACCOUNT, TIMING, rows_told
from veil.fl.privacy.intake import check_model
from veil.fl.privacy.sampled import (
    check_delta,
    check_mean_only,
    check_most_rows,
    check_rounds,
    check_units,
    gradient_step,
    private_task,
    sampled_sum,
    try_gradients,
)
from veil.fl.protocols import Aggregator, Strategy, Task
from veil.fl.records import Params, SiteRound, Sum, Upload
from veil.fl.sites import Site
from veil.fl.statement import PrivacyStatement

if TYPE_CHECKING:
    from veil.dp import Charge, Event
    from veil.random import SecureGenerator

__all__ = ["CentralDP"]

RELATION = "add-or-remove-one"
_NOISE = LatticeGaussian()


@dataclass(frozen=True, slots=True, kw_only=True)
class CentralDP:
    """DP-FedSGD: every site samples and clips, the trusted server adds the noise.

    The models of all rounds together are (ε, δ)-differentially private for every patient (or
    record), with ε = ``epsilon(δ, size=...)``, towards anyone but the server and the patient's own
    site.

    In each round a site includes each of its patients with probability q, independently; sums the
    patients' gradients, each clipped to norm C; and uploads the sum, without a count. The server
    rounds the total to a lattice, adds exact discrete Gaussian noise on it, divides by q·N and
    steps.

    Parameters
    ----------
    noise_multiplier : float
        z of the event that is charged. The noise's standard deviation is z·C, widened by about a
        thousandth for what rounding adds to the sensitivity.
    max_grad_norm : float
        C, the L2 norm to which each patient's gradient is clipped.
    sampling_probability : float
        q in (0, 1], public and one for all sites.
    population : int
        N, number of patients (or records) that all sites train on together: public, fixed, and
        part of the denominator. It need not be exact; the guarantee does not depend on it.
    rounds : int
        Most rounds that may be run: what is accounted.
    unit : {"patient", "record"}
        Whom to protect. ``"patient"`` sums a patient's rows before clipping and needs
        ``Site.patients``; ``"record"`` says that each row is its own patient.
    max_rows_per_patient : int or None
        Rows of a patient that count in a round, the first in the site's order: a public bound on
        the work that one patient makes. Required for ``unit="patient"``, None otherwise.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    The guarantee is exact from the rounded total on: the float64 sum of clipped gradients before
    it is taken as real arithmetic. Patient ids are global: a patient at two sites would be counted
    twice, so that is refused. A patient whose gradient cannot be computed or is not finite counts
    as zero; how many do is in the log "veil.fl", which is for the site's eyes. Memory: gradients of
    at most 64 MB at a time, or of one patient's rows. Samples and noise come from
    `veil.random.SecureGenerator`. Nothing here is constant time: a site's work grows with the
    patients drawn.

    References
    ----------
    Abadi et al. 2016, Deep learning with differential privacy, arXiv 1607.00133.

    Examples
    --------
    >>> dp = veil.fl.CentralDP(noise_multiplier=1.5, max_grad_norm=1.0, sampling_probability=0.04,
    ...                        population=500, rounds=2250, unit="record")
    >>> round(dp.epsilon(delta=1e-5, size=31), 2)
    6.77
    """

    noise_multiplier: float
    max_grad_norm: float
    sampling_probability: float
    population: int
    rounds: int
    unit: str
    max_rows_per_patient: int | None = None

    def __post_init__(self) -> None:
        _checks.positive("noise_multiplier", self.noise_multiplier)
        _checks.norm("max_grad_norm", self.max_grad_norm)
        if _checks.positive("sampling_probability", self.sampling_probability) > 1:
            raise ValueError(
                f"sampling_probability: expected at most 1, got {self.sampling_probability!r}"
            )
        _checks.fix_counts(self, "population", "rounds")
        if self.unit not in ("patient", "record"):
            raise ValueError(f"unit: expected 'patient' or 'record', got {self.unit!r}")
        check_most_rows(self.max_rows_per_patient, self.unit)

    @classmethod
    def calibrate(
        cls,
        *,
        target_epsilon: float,
        target_delta: float,
        max_grad_norm: float,
        sampling_probability: float,
        population: int,
        rounds: int,
        unit: str,
        max_rows_per_patient: int | None = None,
    ) -> CentralDP:
        """Find the least noise, within a thousandth, that meets (ε, δ) over all rounds.

        Parameters
        ----------
        target_epsilon : float
            ε > 0.
        target_delta : float
            δ in (0, 1/population).
        max_grad_norm : float
            C.
        sampling_probability : float
            q.
        population : int
            N.
        rounds : int
            Most rounds that may be run.
        unit : {"patient", "record"}
            Whom to protect.
        max_rows_per_patient : int or None
            Rows of a patient that count; required for ``unit="patient"``.

        Returns
        -------
        CentralDP
            With the calibrated noise multiplier; a millionth of δ is left to the sampler's slack,
            which is enough for any model that fits in memory, and more where it is not.

        Raises
        ------
        ValueError
            If a parameter is out of range, δ ≥ 1/population included, or the slack of a model of
            one value does not fit in a hundredth of δ.
        UnsupportedEvent
            If no accountant reaches so small an ε at this δ.
        """
        from veil.dp import calibrate_noise_multiplier

        _checks.positive("target_epsilon", target_epsilon)
        _checks.count("population", population)
        check_delta("target_delta", target_delta, population)
        # Any multiplier does to check the rest before the search, which takes seconds.
        plan = cls(
            noise_multiplier=1.0,
            max_grad_norm=max_grad_norm,
            sampling_probability=sampling_probability,
            population=population,
            rounds=rounds,
            unit=unit,
            max_rows_per_patient=max_rows_per_patient,
        )

        def made(delta: float) -> CentralDP:
            z = calibrate_noise_multiplier(
                target_epsilon=target_epsilon,
                target_delta=delta,
                sampling_probability=sampling_probability,
                steps=rounds,
            )
            return replace(plan, noise_multiplier=z)

        return leaving_slack(
            made, lambda dp: dp.epsilon(target_delta, size=1), target_epsilon, target_delta
        )

    def event(self) -> Event:
        """Return what an accountant is charged: the sampled Gaussian, once per round.

        Returns
        -------
        Event
            SelfComposed(PoissonSampled(q, Gaussian(z)), rounds).
        """
        from veil.dp import Event

        return Event.gaussian(
            sigma=self.noise_multiplier,
            sensitivity=1.0,
            sampling_probability=self.sampling_probability,
            count=self.rounds,
        )

    def epsilon(self, delta: float, *, size: int) -> float:
        """Return ε of all rounds together, by the best accountant.

        Parameters
        ----------
        delta : float
            δ in (0, 1/population).
        size : int
            Values of the model (``Layout.size``), each of which is drawn once per round.

        Returns
        -------
        float
            ε, rounded up within the accountant's tolerance, the sampler's slack included.

        Raises
        ------
        ValueError
            If an argument is out of range, or the slack takes more than a hundredth of `delta`.
        """
        from veil.dp import epsilon

        check_delta("delta", delta, self.population)
        slack = self.rounds * self._plan(_checks.count("size", size)).slack
        return float(epsilon(self.event(), delta=delta, relation=RELATION, slack=slack))

    def charge(self, layout: Layout, *, label: str) -> Charge:
        """Return what a ledger is charged for all rounds.

        Parameters
        ----------
        layout : Layout
            The model's layout.
        label : str
            Label of the charge.

        Returns
        -------
        Charge
            The event, with the slack of one round.
        """
        from veil.dp import Charge

        return Charge(label, self.event(), self._plan(layout.size).slack)

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
            Must know its gradients per record.
        strategy : Strategy
            Must need nothing but a mean model change.
        aggregator : Aggregator
            Whose server sees each site's sum, as it is.
        sites : sequence of Site
            Whose patients must fit `unit`.
        rounds : int
            Rounds to be run.

        Raises
        ------
        TypeError
            If the task has no per-record gradients, or returns none on rows of zeros.
        ValueError
            If the strategy changes local training or reads single updates, or `rounds` exceeds
            the plan.
        ProtocolError
            If the aggregator hides the sites' sums: it rounds each to its own lattice first.
        DataError
            If the sites' patients do not fit `unit`, a patient is declared at two sites, or the
            task raises on rows of zeros.
        """
        private_task(task)
        if not getattr(aggregator, "sees_individual_updates", True):
            raise ProtocolError(
                f"aggregator: {type(aggregator).__name__} rounds each site's sum, which may move "
                "it by far more than the clipping norm that is charged; use DistributedDP and its "
                "secure_sum(), or PlainSum"
            )
        check_mean_only(strategy, why="DP-FedSGD has no local training")
        check_rounds(rounds, self.rounds)
        check_units(sites, self.unit)
        try_gradients(task, sites)

    def upload_layout(self, layout: Layout) -> Layout:
        """Describe an upload: the clipped sum for each floating-point array, in float64.

        Parameters
        ----------
        layout : Layout
            The model's layout.

        Returns
        -------
        Layout
            Float64 also for narrower models: rounding a sum would widen its sensitivity.
        """
        return Layout(
            tuple(Entry("gradient/" + e.name, e.shape, "float64") for e in layout.entries)
        )

    def contribute(self, strategy: Strategy, work: SiteRound) -> Upload:
        """Sample, clip and sum at one site.

        Parameters
        ----------
        strategy : Strategy
            Not asked: there is no local training.
        work : SiteRound
            What the site has in hand.

        Returns
        -------
        Upload
            The sum of clipped gradients, zero when nobody was drawn; no weight.

        Raises
        ------
        DataError
            If the model is not finite or its values exceed what `check_model` allows; no data was
            touched then. Nothing about the data raises.
        """
        check_model(work.layout, work.vector)
        total = sampled_sum(
            work,
            q=self.sampling_probability,
            clip=self.max_grad_norm,
            most_rows=self.max_rows_per_patient,
        )
        return Upload(total, None)

    def nothing(self, layout: Layout, rng: SecureGenerator) -> Upload:
        """Make what a site sends whose data cannot be had: what it sends when nobody was drawn.

        Parameters
        ----------
        layout : Layout
            The model's layout.
        rng : SecureGenerator
            Not used.

        Returns
        -------
        Upload
            Zeros.
        """
        return Upload(np.zeros(layout.size), None)

    def release(self, total: Sum, *, task: Task, params: Params, rng: SecureGenerator) -> Sum:
        """Add the noise at the server and turn the sum into one gradient step.

        Parameters
        ----------
        total : Sum
            Of the sites' uploads.
        task : Task
            Gives step size and penalty, which depends on the model alone.
        params : dict of str to ndarray
            The model of this round.
        rng : SecureGenerator
            Draws the noise.

        Returns
        -------
        Sum
            Whose mean is −η·(noisy total/(q·N) + penalty gradient).

        Raises
        ------
        ProtocolError
            If the sum carries a weight: a count has left a site.
        DataError
            If the total is not finite; refused before noise is drawn.
        """
        if total.weight is not None:
            raise ProtocolError("weight: expected None under differential privacy, got a count")
        if not np.isfinite(total.total).all():
            raise DataError("total: expected finite values; nothing was released")
        noisy = _NOISE.add(total.total, self._plan(total.total.size), rng)
        expected = self.sampling_probability * self.population
        return gradient_step(noisy, expected, task=task, params=params, total=total)

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
        plan = self._plan(layout.size)
        return PrivacyStatement(
            mechanism="central DP-FedSGD",
            unit=self.unit,
            relation=RELATION,
            sensitivity=plan.sensitivity,
            sensitivity_widened=plan.sensitivity_widened,
            sigma=plan.sigma,
            granularity=plan.granularity,
            event=self.event().to_dict(),
            slack=self.rounds * plan.slack,
            exact_from="sum",
            trusted=(
                "each site with its own patients",
                "the server with each site's sum of clipped gradients, and with adding the noise",
            ),
            account=SERVER_ACCOUNT,
            public=(
                f"population N = {self.population}",
                f"sampling probability q = {self.sampling_probability:g}",
                f"clipping norm C = {self.max_grad_norm:g}",
                f"rounds = {self.rounds}",
                *rows_told(self.max_rows_per_patient),
                "the schema: columns, bounds, categories and imputation constants",
                "which sites took part in each round",
            ),
            caveats=(
                "exact from the rounded sum on: gradients, clipping and the float64 sum before it "
                "are taken as real arithmetic",
                "computational: samples and noise come from AES-256 keystreams",
                TIMING,
                "test metrics, and choices made after seeing them, are not covered",
            ),
            seeded=seeded,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters as JSON types.

        Returns
        -------
        dict
            The fields by name.
        """
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> CentralDP:
        """Read what `to_dict` returned.

        Parameters
        ----------
        fields : mapping
            As from `to_dict`.

        Returns
        -------
        CentralDP
            An equal mechanism.
        """
        return cls(**fields)

    def _plan(self, size: int) -> NoisePlan:
        return _NOISE.plan(
            noise_multiplier=self.noise_multiplier, sensitivity=self.max_grad_norm, size=size
        )
