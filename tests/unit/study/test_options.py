"""Options are checked before anything is loaded."""

from pathlib import Path

import pytest

from veil.study import StudyOptions
from veil.study.arms import make_strategy


def test_defaults_are_the_breast_cancer_study_with_five_seeds():
    options = StudyOptions()
    assert options.dataset == "breast-cancer"
    assert len(options.seeds) == 5
    assert options.epsilons == (0.1, 0.5, 1.0, 2.0, 4.0, 8.0)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"dataset": "mnist"}, "dataset: expected one of breast-cancer"),
        ({"epsilons": (0.0,)}, "epsilons: expected a finite number above 0, got 0.0"),
        ({"epsilons": (1.0, -2.0)}, "epsilons: expected a finite number above 0, got -2.0"),
        ({"epsilons": (float("nan"),)}, "epsilons: expected a finite number"),
        ({"epsilons": (float("inf"),)}, "epsilons: expected a finite number"),
        ({"epsilons": (1.0, 1.0)}, "epsilons: expected distinct"),
        ({"epsilons": 1.0}, "epsilons: expected a tuple"),
        ({"delta": 0.0}, "delta: expected 0 < delta < 1/n"),
        ({"delta": 1.0}, "delta: expected 0 < delta < 1/n"),
        ({"sampling_probability": 0.0}, "sampling_probability: expected 0 < q <= 1"),
        ({"sampling_probability": 1.5}, "sampling_probability: expected 0 < q <= 1"),
        ({"max_grad_norm": 0.0}, "max_grad_norm: expected a finite number above 0"),
        ({"seeds": (1, 2, 3, 4)}, "seeds: expected at least 5 distinct"),
        ({"seeds": (1, 1, 2, 3, 4)}, "seeds: expected at least 5 distinct"),
        ({"seeds": (-1, 1, 2, 3, 4)}, "seeds: expected an integer of at least 0"),
        ({"secagg": "yes"}, "secagg: expected True, False or None"),
        ({"secagg": True, "strategies": ("fedprox",)}, "secagg: expected with fedavg"),
        ({"strategies": ("krum",)}, "strategies: expected one of fedavg"),
        ({"strategies": ("fedavg", "fedavg")}, "strategies: expected distinct"),
        ({"strategies": "fedavg"}, "strategies: expected a tuple"),
        ({"task": "forest"}, "task: expected one of logistic"),
        ({"rounds": 0}, "rounds: expected an integer of at least 1"),
        ({"rounds": True}, "rounds: expected an integer of at least 1"),
        ({"learning_rate": float("nan")}, "learning_rate: expected a finite number above 0"),
        ({"server_learning_rate": 0.0}, "server_learning_rate: expected a finite number above 0"),
        ({"proximal_mu": -0.1}, "proximal_mu: expected a finite number of at least 0"),
        ({"l2": float("inf")}, "l2: expected a finite number of at least 0"),
        ({"min_site": 1}, "min_site: expected an integer of at least 2"),
        ({"sites": 1}, "sites: expected an integer of at least 2"),
        ({"sites_by": "postcode"}, "sites_by: expected one of specialty"),
        ({"target": "y"}, "target: expected only together with data"),
        ({"data": "a.csv", "site": "s"}, "target: expected the name of a column of a.csv"),
        ({"data": "a.csv", "target": "y"}, "site: expected the name of a column of a.csv"),
    ],
)
def test_option_out_of_range_is_refused_by_name(given, named):
    with pytest.raises(ValueError, match=named.replace("(", r"\(")):
        StudyOptions(**given)


def test_quick_shrinks_the_default_grid_but_not_a_chosen_one():
    assert StudyOptions(quick=True).epsilons == (1.0, 8.0)
    assert StudyOptions(quick=True, epsilons=(3,)).epsilons == (3.0,)
    assert StudyOptions(quick=True, seeds=range(9)).seeds == (0, 1, 2, 3, 4)


def test_options_survive_json():
    options = StudyOptions(data="a.csv", target="y", site="s", out="o", strategies=["scaffold"])
    assert options.data == Path("a.csv")
    assert StudyOptions.from_dict(options.to_dict()) == options


def test_unknown_option_is_refused():
    with pytest.raises(ValueError, match="expected names of StudyOptions, got \\['epochs'\\]"):
        StudyOptions.from_dict({"epochs": 3})


def test_digest_changes_with_what_is_computed_and_not_with_where_it_is_written():
    base = StudyOptions()
    assert StudyOptions(out="elsewhere", resume=True).digest() == base.digest()
    assert StudyOptions(rounds=31).digest() != base.digest()
    assert StudyOptions(seeds=(1, 2, 3, 4, 6)).digest() != base.digest()


def test_settings_of_strategies_reach_the_strategies():
    options = StudyOptions(proximal_mu=0.7, server_learning_rate=0.3)
    assert make_strategy("fedprox", options).mu == 0.7
    for name in ("fedadam", "fedyogi", "fedadagrad"):
        assert make_strategy(name, options).learning_rate == 0.3
