"""The sentence that leads the report says what the numbers say."""

import pytest
from scipy import stats

pytest.importorskip("jsonschema")

from veil.report.answer import answer, paired_difference, worst_by_seed


def shift(results, method, delta):
    """Set a method's AUROC at every site to local's plus a difference per seed."""
    local = {r["seed"]: r for r in results["runs"] if r["method"] == "local"}
    for run in results["runs"]:
        if run["method"] == method:
            for site, values in run["sites"].items():
                values["auroc"] = local[run["seed"]]["sites"][site]["auroc"] + delta[run["seed"]]
    return results


def test_paired_difference_is_students_interval_of_the_differences(results):
    found = paired_difference(results, "local", "dp-4")
    before, after = worst_by_seed(results, "local"), worst_by_seed(results, "dp-4")
    deltas = [after[s] - before[s] for s in before]
    wanted = stats.ttest_1samp(deltas, 0).confidence_interval(0.95)
    assert found.mean == pytest.approx(sum(deltas) / len(deltas))
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))


@pytest.mark.parametrize(
    ("delta", "said"),
    [
        ([0.01, 0.011, 0.012, 0.01, 0.011], "Training together raised the worst site’s AUROC"),
        ([-0.01, -0.011, -0.012, -0.01, -0.011], "Training together lowered"),
        ([0.02, -0.02, 0.01, -0.015, 0.0], "Training together did not clearly change"),
    ],
)
def test_gain_is_claimed_only_when_its_interval_leaves_out_zero(results, resummarise, delta, said):
    shift(results, "fedavg", delta)
    results["summary"] = resummarise(results)
    assert answer(results)[0].startswith(said)


def test_cost_is_given_at_both_ends_of_the_grid(results):
    worst = {
        r["method"]: r["mean"]
        for r in results["summary"]
        if (r["metric"], r["scope"]) == ("auroc", "worst")
    }
    large, small = (worst["fedavg"] - worst[m] for m in ("dp-8", "dp-0.5"))
    assert paired_difference(results, "fedavg", "dp-8").clear
    ending = f"differential privacy costs {large:.3f} at ε = 8 and {small:.3f} at ε = 0.5."
    assert answer(results)[0].endswith(ending)


def test_a_cost_whose_interval_holds_zero_is_not_called_clear(results, resummarise):
    shift(results, "fedavg", [0.03] * 5)
    shift(results, "dp-8", [0.01, 0.05, 0.02, 0.035, 0.03])
    results["summary"] = resummarise(results)
    said = "differential privacy costs 0.001 at ε = 8 (not clear with 5 seeds) and 0."
    assert said in answer(results)[0]


def test_two_costs_that_are_not_clear_share_their_doubt(results, resummarise):
    shift(results, "fedavg", [0.03] * 5)
    for method, part in (("dp-0.5", 1e-4), ("dp-8", -1e-4)):
        shift(results, method, [0.03 - part * s for s in (1, -2, 1.5, -1, 1)])
    results["summary"] = resummarise(results)
    ending = "differential privacy adds 0.000 at ε = 8 and costs 0.000 at ε = 0.5 (neither clear"
    assert answer(results)[0].endswith(ending + " with 5 seeds).")


def test_epsilons_clearly_better_and_worse_than_alone_are_named(results):
    better, worse = [], []
    for epsilon in ("0.5", "1", "2", "4", "8"):
        found = paired_difference(results, "local", f"dp-{epsilon}")
        better += [epsilon] * (found.low > 0)
        worse += [epsilon] * (found.high < 0)
    assert better
    assert worse
    assert answer(results)[1] == (
        "Compared with each site alone, private training was clearly better at ε = "
        f"{', '.join(better)} and clearly worse at ε = {', '.join(worse)}"
        "; elsewhere there is no clear sign."
    )


def test_one_seed_claims_nothing(make_study):
    lead, then = answer(make_study(seeds=(3,)))
    assert lead.startswith("Training together moved")
    assert then.startswith("With a single seed there are no intervals")


def test_a_study_without_local_or_federated_methods_claims_nothing(make_study):
    methods = (("pooled", "pooled", "Pooled", None, None, 0.99),)
    assert answer(make_study(methods=methods)) == ["1 methods were compared on the same patients."]
