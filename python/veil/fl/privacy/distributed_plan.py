"""What a distributed mechanism draws and what it is charged: parameters, noise and event."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from veil._checks import fix_whole
from veil.dp._search import least_meeting
from veil.dp._slack import leaving_slack
from veil.errors import DataError
from veil.fl import _checks
from veil.fl.layout import Layout
from veil.fl.privacy.rotation import Rotation
from veil.fl.privacy.sampled import check_delta, check_most_rows
from veil.fl.privacy.shares import Shares, patients_of_a_round, record_shares, site_shares

if TYPE_CHECKING:
    from veil.dp import Charge, Event
    from veil.secagg import NoiseShare

__all__ = ["DistributedPlan", "given"]

_P = TypeVar("_P", bound="DistributedPlan")

_MOST_SKELLAM = 2.0**40
_RELATIONS = {"patient": "add-or-remove-one", "record": "add-or-remove-one", "site": "zero-out"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributedPlan:
    """The part of `DistributedDP` that an accountant sees; its parameters are documented there."""

    noise_multiplier: float
    max_norm: float
    unit: Literal["patient", "record", "site"]
    rounds: int
    size: int
    sites: int
    min_survivors: int
    max_corrupt: int
    sampling_probability: float | None
    population: int | None
    distribution: Literal["discrete-gaussian", "skellam"] = "discrete-gaussian"
    rotation_seed: bytes | None = None
    max_rows_per_patient: int | None = None

    def __post_init__(self) -> None:
        _checks.positive("noise_multiplier", self.noise_multiplier)
        _checks.norm("max_norm", self.max_norm)
        _checks.fix_counts(self, "rounds", "size", "sites", "min_survivors")
        fix_whole(self, "max_corrupt", least=0)
        if self.unit not in _RELATIONS:
            raise ValueError(f"unit: expected 'patient', 'record' or 'site', got {self.unit!r}")
        self._check_sites()
        self._check_unit()
        _shares_of(self)

    def _check_sites(self) -> None:
        if self.min_survivors <= self.max_corrupt + 1:
            raise ValueError(
                f"min_survivors: expected at least max_corrupt + 2 = {self.max_corrupt + 2}, so "
                f"that two honest sites hide each other, got {self.min_survivors}"
            )
        if self.sites < max(3, self.min_survivors):
            raise ValueError(
                f"sites: expected at least 3 and at least min_survivors = {self.min_survivors}, "
                f"got {self.sites}"
            )

    def _check_unit(self) -> None:
        check_most_rows(self.max_rows_per_patient, self.unit)
        if self.unit == "site":
            for name in ("sampling_probability", "population"):
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"{name}: expected None for unit='site', got {getattr(self, name)!r}; the "
                        "server sees which sites take part, so sampling them amplifies nothing"
                    )
            if self.rotation_seed is not None:
                Rotation(length=self.size, seed=self.rotation_seed)
            return
        q = _checks.positive("sampling_probability", given(self, "sampling_probability"))
        if q > 1:
            raise ValueError(f"sampling_probability: expected at most 1, got {q!r}")
        given(self, "population")
        _checks.fix_counts(self, "population")
        if self.distribution != "discrete-gaussian":
            raise ValueError(
                f"distribution: expected 'discrete-gaussian' for unit={self.unit!r}, got "
                f"{self.distribution!r}; no accountant amplifies Skellam noise by sampling"
            )
        if self.rotation_seed is not None:
            raise ValueError("rotation_seed: expected None but for unit='site'")

    @classmethod
    def calibrate(cls: type[_P], *, target_epsilon: float, target_delta: float, **plan: Any) -> _P:
        """Find the least noise, within a thousandth, that meets (ε, δ) over all rounds.

        Parameters
        ----------
        target_epsilon : float
            ε > 0.
        target_delta : float
            δ, below one over the number of patients (of sites for ``unit="site"``).
        **plan : Any
            The other parameters of `DistributedDP`, but for `noise_multiplier`.

        Returns
        -------
        DistributedDP
            With the calibrated noise multiplier; a millionth of δ is left to the sampler's slack,
            and more where that is not enough. Skellam noise is the least within two thousandths:
            its lattice changes with the noise.

        Raises
        ------
        ValueError
            If a parameter is out of range, δ included; if the slack does not fit in a hundredth of
            δ, or Skellam noise would leave its sampler's range.
        UnsupportedEvent
            If no accountant reaches so small an ε at this δ.
        TypeError
            If a parameter is missing or unknown.
        """
        _checks.positive("target_epsilon", target_epsilon)
        # Any multiplier does to check the rest before the search, which takes seconds.
        trial = cls(noise_multiplier=1.0, **plan)
        trial._check_delta("target_delta", target_delta)

        def made(delta: float) -> _P:
            return replace(trial, noise_multiplier=_multiplier(trial, target_epsilon, delta))

        return leaving_slack(
            made, lambda plan: plan.epsilon(target_delta), target_epsilon, target_delta
        )

    @property
    def relation(self) -> str:
        """Which data sets are neighbours: a site's vector is zeroed, a patient comes or goes."""
        return _RELATIONS[self.unit]

    @property
    def honest(self) -> int:
        """Fewest honest sites in a sum that is opened, m."""
        return self.min_survivors - self.max_corrupt

    @property
    def length(self) -> int:
        """Values of an upload: of the model, or of its rotation."""
        rotation = self.rotation
        return self.size if rotation is None else rotation.padded

    @property
    def shares(self) -> Shares:
        """Lattice, sensitivities, codec and slack that follow from the parameters."""
        return _shares_of(self)

    @property
    def share(self) -> NoiseShare:
        """The noise of one site: part of what all parties agree on."""
        return self.shares.share

    def event(self) -> Event:
        """Return what an accountant is charged.

        Returns
        -------
        Event
            SelfComposed(PoissonSampled(q, Gaussian(z)), rounds); Gaussian(z) for ``unit="site"``,
            or Skellam by its Rényi bound.
        """
        from veil.dp import Event

        if self.distribution == "skellam":
            return Event.skellam(
                variance=self.honest * self.share.sigma**2,
                sensitivity=self.shares.sensitivity,
                l1_sensitivity=self.shares.l1_sensitivity,
                count=self.rounds,
            )
        return Event.gaussian(
            sigma=self.noise_multiplier,
            sensitivity=1.0,
            sampling_probability=self.sampling_probability or 1.0,
            count=self.rounds,
        )

    def epsilon(self, delta: float) -> float:
        """Return ε of all rounds together, by the best accountant that knows the event.

        Parameters
        ----------
        delta : float
            δ, below one over the number of patients (of sites for ``unit="site"``).

        Returns
        -------
        float
            ε, rounded up within the accountant's tolerance, the sampler's slack included.

        Raises
        ------
        ValueError
            If `delta` is out of range, or the slack takes more than a hundredth of it.
        """
        from veil.dp import epsilon

        self._check_delta("delta", delta)
        slack = self.rounds * self.shares.slack
        return float(epsilon(self.event(), delta=delta, relation=self.relation, slack=slack))

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

        self.check_layout(layout)
        return Charge(label, self.event(), self.shares.slack)

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters as JSON types.

        Returns
        -------
        dict
            The fields by name; the seed in hexadecimal.
        """
        seed = self.rotation_seed
        return {**asdict(self), "rotation_seed": None if seed is None else seed.hex()}

    @classmethod
    def from_dict(cls: type[_P], fields: Mapping[str, Any]) -> _P:
        """Read what `to_dict` returned.

        Parameters
        ----------
        fields : mapping
            As from `to_dict`.

        Returns
        -------
        DistributedDP
            An equal mechanism.
        """
        seed = fields["rotation_seed"]
        return cls(**{**fields, "rotation_seed": None if seed is None else bytes.fromhex(seed)})

    @property
    def rotation(self) -> Rotation | None:
        """The rotation before the lattice, if there is one."""
        if self.rotation_seed is None:
            return None
        return Rotation(length=self.size, seed=self.rotation_seed)

    def check_layout(self, layout: Layout) -> None:
        """Refuse a model of another size.

        Parameters
        ----------
        layout : Layout
            The model's layout.

        Raises
        ------
        DataError
            If it is not of `size` values.
        """
        if layout.size != self.size:
            raise DataError(
                f"layout: the mechanism was made for {self.size} values, the model has "
                f"{layout.size}; make it with size={layout.size}"
            )

    def _check_delta(self, name: str, delta: float) -> None:
        if self.unit == "site":
            check_delta(name, delta, self.sites, of="sites")
        else:
            check_delta(name, delta, given(self, "population"), of="patients")


def given(plan: DistributedPlan, name: str) -> Any:
    """Return a parameter that this unit needs, or raise ValueError."""
    value = getattr(plan, name)
    if value is None:
        raise ValueError(f"{name}: expected a number for unit={plan.unit!r}, got None")
    return value


@lru_cache(maxsize=64)
def _shares_of(plan: DistributedPlan) -> Shares:
    if plan.unit == "site":
        return site_shares(
            clip=plan.max_norm,
            noise_multiplier=plan.noise_multiplier,
            length=plan.length,
            sites=plan.sites,
            honest=plan.honest,
            distribution=plan.distribution,
        )
    q, population = given(plan, "sampling_probability"), given(plan, "population")
    return record_shares(
        clip=plan.max_norm,
        noise_multiplier=plan.noise_multiplier,
        size=plan.size,
        sites=plan.sites,
        honest=plan.honest,
        patients=patients_of_a_round(population, q),
    )


def _multiplier(plan: DistributedPlan, target_epsilon: float, delta: float) -> float:
    from veil.dp import calibrate_noise_multiplier, epsilon

    if plan.distribution == "discrete-gaussian":
        return calibrate_noise_multiplier(
            target_epsilon=target_epsilon,
            target_delta=delta,
            sampling_probability=plan.sampling_probability or 1.0,
            steps=plan.rounds,
            relation=plan.relation,
        )

    def spent(z: float) -> float:
        try:
            tried = replace(plan, noise_multiplier=z)
        except ValueError:  # outside of the sampler's range
            return math.inf
        return float(epsilon(tried.event(), delta=delta, relation=plan.relation))

    found = least_meeting(spent, target_epsilon, 1.0, most=_MOST_SKELLAM)
    if found is None:
        raise ValueError(
            f"target_epsilon: {target_epsilon:g} needs Skellam noise outside of its sampler's "
            "range; ask for a larger epsilon, or use distribution='discrete-gaussian'"
        )
    return found
