"""A hand-made study with realistic numbers; the real one runs in tests/integration."""

import copy
import json
import math
import statistics

import pytest

SITES = ("north", "east", "south", "west", "centre")
SEEDS = (0, 1, 2, 3, 4)
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
# id, kind, label, strategy, epsilon, AUROC before the site's and seed's part
METHODS = (
    ("local", "local", "Local only", None, None, 0.955),
    ("pooled", "pooled", "Pooled", None, None, 0.9925),
    ("fedavg", "federated", "FedAvg", "fedavg", None, 0.991),
    ("dp-0.5", "dp", "DP-FedSGD, ε = 0.5", "fedavg", 0.5, 0.86),
    ("dp-1", "dp", "DP-FedSGD, ε = 1", "fedavg", 1.0, 0.925),
    ("dp-2", "dp", "DP-FedSGD, ε = 2", "fedavg", 2.0, 0.957),
    ("dp-4", "dp", "DP-FedSGD, ε = 4", "fedavg", 4.0, 0.971),
    ("dp-8", "dp", "DP-FedSGD, ε = 8", "fedavg", 8.0, 0.978),
)


def site_metrics(base, method, seed, site):
    wobble = math.sin(12.9898 * (1 + site) + 78.233 * seed + 3.7 * method) * (1 - base) * 0.4
    auroc = min(0.9995, base - 0.006 * site + wobble)
    return {
        "n_test": 23 + site,
        "auroc": auroc,
        "accuracy": auroc - 0.03,
        "brier": (1 - auroc) * 0.8 + 0.01,
    }


def certificate(epsilon, models):
    return {
        "epsilon": epsilon,
        "noise_multiplier": 12 / epsilon,
        "sensitivity": 1.0,
        "sensitivity_widened": 1.0 + 31**0.5 * 2.0**-13,
        "sigma": 12.008 / epsilon,
        "granularity": 2.0**-13,
        "event": {
            "kind": "gaussian",
            "sigma": 12 / epsilon,
            "sensitivity": 1.0,
            "sampling_probability": 0.25,
            "count": 100,
        },
        "slack": 9.8e-27,
        "exact_from": "sum",
        "models": models,
        "together": 2.6 * epsilon,
    }


def ledger(epsilon, label):
    return {
        "mode": "planned",
        "budget": epsilon,
        "delta": 1 / 4550,
        "spent": 0.999997 * epsilon,
        "accountant": "best of closed form, PLD and RDP, plan fixed in advance",
        "charges": [{"label": label, "epsilon": 0.999997 * epsilon, "rounds": 100}],
        "drawn": 100,
        "slack": 9.8e-27,
        "head": None,
    }


def summarise(values):
    values = [v for v in values if v is not None]
    if not values:
        return {"mean": None, "low": None, "high": None, "n": 0}
    mean = statistics.fmean(values)
    if len(values) == 1:
        return {"mean": mean, "low": None, "high": None, "n": 1}
    half = T_95[len(values)] * statistics.stdev(values) / math.sqrt(len(values))
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": len(values)}


def summary_of(methods, runs, sites):
    rows = []
    for method in methods:
        mine = [run["sites"] for run in runs if run["method"] == method["id"]]
        for metric in ("auroc", "accuracy", "brier"):
            worst = max if metric == "brier" else min
            per_run = [[s[metric] for s in r.values() if s[metric] is not None] for r in mine]
            scopes = {
                "mean": [statistics.fmean(v) if v else None for v in per_run],
                "worst": [worst(v) if v else None for v in per_run],
                **{f"site:{i}": [r[i][metric] if i in r else None for r in mine] for i in sites},
            }
            rows += [
                {"method": method["id"], "metric": metric, "scope": scope, **summarise(values)}
                for scope, values in scopes.items()
            ]
    return rows


def study(sites=SITES, seeds=SEEDS, methods=METHODS):
    runs = [
        {
            "method": method,
            "seed": seed,
            "seconds": 0.25 + 0.5 * (kind == "dp") + 0.01 * seed,
            "bytes_up": 0 if kind in ("local", "pooled") else 62_000 * len(sites),
            "bytes_down": 0 if kind in ("local", "pooled") else 62_000 * len(sites),
            "sites": {s: site_metrics(base, m, seed, i) for i, s in enumerate(sites)},
        }
        | ({} if epsilon is None else {"ledger": ledger(epsilon, f"{method}, seed {seed}")})
        for m, (method, kind, _, _, epsilon, base) in enumerate(methods)
        for seed in seeds
    ]
    declared = [
        {
            "id": id_,
            "kind": kind,
            "label": label,
            "strategy": strategy,
            "epsilon": epsilon,
            "protects": {
                "local": "Everything: no site sends anything.",
                "pooled": "Nothing: the records themselves are gathered in one place.",
                "federated": "Records stay at their site; only model updates leave.",
                "dp": "Any one training patient: whoever sees the model learns little about them.",
            }[kind],
            "does_not_protect": {
                "local": "Each model may still reveal its own training patients.",
                "pooled": "The model may reveal training patients.",
                "federated": "Updates and the model may reveal training patients to the server.",
                "dp": "Facts about groups; single updates are seen by the server in the clear.",
            }[kind],
            "trusted": {"local": "nobody", "pooled": "the one place"}.get(kind, "the server"),
            "preprocessing": "public-schema" if kind == "dp" else "training-data",
            "rounds": 0 if kind in ("local", "pooled") else 100,
        }
        for id_, kind, label, strategy, epsilon, _ in methods
    ]
    epsilons = [m["epsilon"] for m in declared if m["epsilon"] is not None]
    return {
        "format": "veil-study",
        "version": 1,
        "veil_version": "0.1.0",
        "created": "2025-03-01T12:00:00Z",
        "options": {"dataset": "breast-cancer", "seeds": list(seeds), "quick": False},
        "simulated": True,
        "dataset": {
            "name": "breast-cancer",
            "title": "Breast Cancer Wisconsin (Diagnostic)",
            "source": "UCI ML Repository 17, as distributed with scikit-learn",
            "licence": "CC BY 4.0",
            "n_patients": 569,
            "n_rows": 569,
            "target": "diagnosis",
            "positive": "malignant",
            "sites": [
                {
                    "id": site,
                    "n_train": 90 + i,
                    "n_test": 23 + i,
                    "positives_train": 20 + 8 * i,
                    "positives_test": 5 + 2 * i,
                }
                for i, site in enumerate(sites)
            ],
            "features": [f"feature {i}" for i in range(30)],
        },
        "seeds": list(seeds),
        "task": {"name": "logistic", "l2": 0.001},
        "privacy": {
            "unit": "patient",
            "relation": "add-or-remove-one",
            "delta": 1 / 4550,
            "delta_rule": "1/(10 n)",
            "population": 455,
            "population_is": "public",
            "epsilons": epsilons,
            "sampling_probability": 0.25,
            "rounds": 100,
            "max_grad_norm": 1.0,
            "noise_multipliers": {f"{e:g}": 12 / e for e in epsilons},
            "accountant": "pld",
            "statement": ["ε is per released model and training patient."],
            "certificates": [certificate(e, len(seeds)) for e in epsilons],
            "trusted": ["each site with its own patients", "the server with the sites' sums"],
            "noise_note": "discrete Gaussian on a lattice, exact from the rounded sum on",
        },
        "methods": declared,
        "runs": runs,
        "summary": summary_of(declared, runs, sites),
        "public": ["The number of training patients at each site.", "The schema."],
        "caveats": ["ε does not cover the test metrics shown here."],
    }


@pytest.fixture(scope="session")
def make_study():
    """Build a study with the sites, seeds and methods that a test asks for."""
    return study


@pytest.fixture(scope="session")
def resummarise():
    """Recompute the summary of a study whose runs a test has changed."""
    return lambda r: summary_of(r["methods"], r["runs"], [s["id"] for s in r["dataset"]["sites"]])


@pytest.fixture(scope="session")
def example():
    """Return the hand-made study itself, for tests that only read it."""
    return study()


@pytest.fixture
def results(example):
    """Return a fresh copy of the hand-made study."""
    return copy.deepcopy(example)


@pytest.fixture
def results_file(results, tmp_path):
    """Return the path of a results.json with the hand-made study."""
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results), encoding="utf-8")
    return path
