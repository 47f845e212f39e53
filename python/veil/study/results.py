"""From finished runs to ``results.json``, whose schema `veil.report.schema` documents."""

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from veil import __version__
from veil.fl import CentralDP, Layout, Streams
from veil.fl.statement import PrivacyStatement
from veil.study import hybrid
from veil.study.arms import SplitCohort, make_task, public_features
from veil.study.budget import RELATION, certificate, together
from veil.study.plan import Plan
from veil.study.preprocess import fit_encoders
from veil.study.secure import caveat, left_out
from veil.study.subgroups import summarise_groups
from veil.study.summary import summarise

__all__ = ["make_results"]


def make_results(
    plan: Plan, runs: Sequence[dict[str, Any]], mechanisms: dict[float, CentralDP]
) -> dict[str, Any]:
    """Assemble the results of a study.

    Parameters
    ----------
    plan : Plan
        The study.
    runs : sequence of dict
        One entry per method and seed.
    mechanisms : dict of float to CentralDP
        The calibrated mechanism of each epsilon.

    Returns
    -------
    dict
        Valid against `veil.report.schema`.
    """
    split = SplitCohort.of(plan.cohort, seed=plan.options.seeds[0])
    statement = _statement(plan, mechanisms)
    results = {
        "format": "veil-study",
        "version": 1,
        "veil_version": __version__,
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "options": _options(plan),
        "simulated": plan.simulated,
        "dataset": _dataset(plan, split),
        "seeds": list(plan.options.seeds),
        "task": _task(plan),
        "privacy": _privacy(plan, mechanisms, statement),
        "methods": [m.to_dict() for m in plan.methods],
        "runs": list(runs),
        "summary": summarise(runs, [m.id for m in plan.methods], plan.cohort.site_ids),
        "public": _public(plan, statement),
        "caveats": _caveats(plan, runs),
    }
    groups = summarise_groups(runs, [m.id for m in plan.methods])
    return results if groups is None else results | {"subgroups": groups}


def _options(plan: Plan) -> dict[str, Any]:
    """Return the options without what names a place on this machine."""
    values = plan.options.to_dict()
    for name in ("out", "resume", "data_dir"):
        del values[name]
    for name in ("data", "schema"):
        if values[name] is not None:
            values[name] = Path(values[name]).name
    return values


def _dataset(plan: Plan, split: SplitCohort) -> dict[str, Any]:
    cohort = plan.cohort
    sites = []
    for site in cohort.site_ids:
        n_train, positives_train = split.patients(split.train[site])
        n_test, positives_test = split.patients(split.test[site])
        sites.append(
            {
                "id": site,
                "n_train": n_train,
                "n_test": n_test,
                "positives_train": positives_train,
                "positives_test": positives_test,
            }
        )
    return {
        "name": cohort.name,
        "title": cohort.title,
        "source": cohort.source,
        "licence": cohort.licence,
        "n_patients": cohort.n_patients,
        "n_rows": int(cohort.labels.size),
        "target": cohort.target,
        "positive": cohort.positive,
        "sites": sites,
        "features": list(_features(plan, split)),
    }


def _features(plan: Plan, split: SplitCohort) -> tuple[str, ...]:
    """Return the inputs of the private models, or of the federated ones where none is private."""
    if plan.options.epsilons:
        return public_features(plan.cohort)
    return fit_encoders(plan.cohort, split.train)[plan.cohort.site_ids[0]].features


def _task(plan: Plan) -> dict[str, Any]:
    o = plan.options
    return {
        "name": o.task,
        "rounds": o.rounds,
        "local_epochs": o.local_epochs,
        "batch_size": o.batch_size,
        "learning_rate": o.learning_rate,
        "l2": o.l2,
        "dp_rounds": plan.private.rounds,
        "dp_learning_rate": plan.private.learning_rate,
    }


def _layout(plan: Plan) -> Layout:
    """Return the layout of the private models."""
    task = make_task(plan, features=len(public_features(plan.cohort)), private=True)
    return Layout.of(task.init(Streams(0).get("init")))


def _statement(plan: Plan, mechanisms: dict[float, CentralDP]) -> PrivacyStatement | None:
    """Take the mechanism's own words, which do not differ between epsilons."""
    if not mechanisms:
        return None
    mechanism = next(iter(mechanisms.values()))
    return mechanism.statement(_layout(plan), seeded=plan.simulated)


def _privacy(
    plan: Plan, mechanisms: dict[float, CentralDP], statement: PrivacyStatement | None
) -> dict[str, Any]:
    o = plan.options
    private = statement is not None
    return {
        "unit": "patient",
        "relation": RELATION,
        "delta": plan.delta,
        "delta_rule": plan.delta_rule,
        "population": plan.population,
        "population_is": "public",
        "epsilons": list(o.epsilons),
        "sampling_probability": plan.private.sampling_probability if private else None,
        "rounds": plan.private.rounds if private else 0,
        "max_grad_norm": o.max_grad_norm if private else None,
        "noise_multipliers": {f"{e:.15g}": m.noise_multiplier for e, m in mechanisms.items()},
        "accountant": "pld",
        "certificates": _certificates(plan, mechanisms),
        "trusted": [] if statement is None else list(statement.trusted),
        "statement": [] if statement is None else _sentences(plan, statement),
        "noise_note": "no private method was run"
        if statement is None
        else "discrete Gaussian on a lattice, exact from the rounded sum on"
        + ("; seeded, so that this study can be repeated" if plan.simulated else ""),
    }


def _certificates(plan: Plan, mechanisms: dict[float, CentralDP]) -> list[dict[str, Any]]:
    if not mechanisms:
        return []
    layout, models = _layout(plan), len(plan.options.seeds)
    found = [
        certificate(mechanism, layout, target, seeded=plan.simulated)
        for target, mechanism in mechanisms.items()
    ]
    return [
        one | {"models": models, "together": together(one, models=models, delta=plan.delta)}
        for one in found
    ]


def _sentences(plan: Plan, statement: PrivacyStatement) -> list[str]:
    o, private = plan.options, plan.private
    return [
        f"Each private model, with all its {private.rounds} rounds, is (ε, {plan.delta:.3g})-"
        "differentially private for every training patient, towards everyone but the server and "
        "the patient's own site.",
        f"Neighbouring data sets differ in one patient, with all of that patient's rows "
        f"({statement.relation}).",
        f"Each round draws every patient with probability q = {private.sampling_probability:g}, "
        f"clips each patient's gradient, of at most {o.max_rows_per_patient} rows, to L2 norm "
        f"C = {o.max_grad_norm:g}, rounds the sum to a "
        f"lattice and adds integer noise. The sum's sensitivity is {statement.sensitivity:g}, "
        f"and {statement.sensitivity_widened:.6g} after rounding.",
        f"What is charged is what was drawn: {private.rounds} times Poisson-sampled(q, "
        "Gaussian(z)), and the sampler's slack, for the z listed here. Each model had a ledger "
        "with the budget (ε, δ), which was charged before its first round.",
        f"Trusted: {'; '.join(statement.trusted)}.",
        *_hybrid_sentence(plan),
        *(f"{c[0].upper()}{c[1:]}." for c in statement.caveats),
    ]


def _hybrid_sentence(plan: Plan) -> list[str]:
    with_noise = any(m.kind == "dp" and m.aggregation == "secure" for m in plan.methods)
    return [hybrid.sentence(len(plan.cohort.site_ids))] if with_noise else []


def _public(plan: Plan, statement: PrivacyStatement | None) -> list[str]:
    cohort = plan.cohort
    told = [f"number of training patients n = {plan.population}, and δ = {plan.delta:.3g}"]
    if any(m.aggregation == "secure" for m in plan.methods):
        told.append(
            "of secure aggregation: who took part in each round, the sum of their training rows, "
            "the largest number of training rows of a site, and the clip of the values"
        )
    if statement is not None:
        told += [p for p in statement.public if not p.startswith("population")]
        assert cohort.schema is not None
        if cohort.schema.note:
            told.append(f"of the schema: {cohort.schema.note}")
    return told


def _caveats(plan: Plan, runs: Sequence[dict[str, Any]]) -> list[str]:
    told: list[str] = []
    if plan.options.epsilons:
        told += [
            "ε is per released model and training patient.",
            "ε does not cover the test metrics shown here, which were computed from held-out "
            "patients without noise.",
            "ε does not cover showing all seeds together: each seed is another model of the same "
            "patients, and several published models add up: to what, stands beside the ledger.",
            "ε does not cover the choice of hyperparameters: the defaults' values were chosen on "
            "synthetic patients, but that large studies have values of their own followed a result "
            "on diabetes130; options chosen after looking at results are not covered.",
        ]
    if plan.simulated:
        told.append(
            "Samples and noise of the private methods were drawn from seeds, so that this study "
            "can be repeated: its models carry no guarantee and are discarded."
        )
    told += [
        "Intervals are Student's t over the seeds (95 %), cut to [0, 1]; seeds share patients, so "
        "intervals understate how results would vary between hospitals.",
        "'mean' is the unweighted mean over sites, 'worst' the worst site of each seed; a site "
        "whose held-out patients are all of one class has no AUROC.",
        "Bytes of 'pooled' are the encoded records going up and one model per site coming down; "
        "'local' moves nothing.",
    ]
    if plan.cohort.schema is not None and plan.cohort.schema.subgroups:
        told.append(
            "Results per subgroup are of all sites' held-out rows together. A group is missed more "
            "often when few patients trained for it, and differential privacy tends to cost small "
            "groups most: clipping and noise hide first what few patients share."
        )
    told += _secure_caveats(plan, runs)
    if plan.options.epsilons:
        n_sites = len(plan.cohort.site_ids)
        told.append(hybrid.left_out(n_sites, plan.options.hybrid) or hybrid.caveat(n_sites))
    if plan.cohort.n_patients < plan.cohort.labels.size:
        told.append("Metrics weigh every held-out row alike; counts are of patients.")
    return [*told, *plan.cohort.notes]


def _secure_caveats(plan: Plan, runs: Sequence[dict[str, Any]]) -> list[str]:
    if "fedavg" not in plan.options.strategies:
        return []
    n_sites = len(plan.cohort.site_ids)
    reason = left_out(n_sites, plan.options.secagg)
    return [caveat([r for r in runs if "values_cut" in r], n_sites) if reason is None else reason]
