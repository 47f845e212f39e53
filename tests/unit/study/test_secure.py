"""The arm FedAvg + SecAgg: when it runs, and what it does with values beyond its clip."""

import numpy as np
import pytest

from veil.fl import Layout
from veil.secagg import Config, context
from veil.study.secure import left_out, make_sum, settings, words


@pytest.mark.parametrize("n_sites", [3, 4, 5, 7, 30])
def test_settings_are_safe_and_live_for_every_number_of_sites(n_sites):
    limits = settings(n_sites)
    assert limits["adversary"] == "malicious"
    assert limits["corrupt"] == 1
    assert limits["dropout"] == (0 if n_sites == 3 else 1)
    codec = make_sum({f"s{i}": np.arange(9) for i in range(n_sites)})._codec
    config = Config.for_cohort(n_sites, **limits | {"codec": codec}, length=31, weight_max=9)
    honest = config.thresholds(n_sites).honest
    assert honest >= 2
    assert f"as few as {honest} honest sites" in words(n_sites)["does_not_protect"]


@pytest.mark.parametrize(
    ("n_sites", "asked", "said"),
    [
        (2, None, "at least 3 sites, here are 2"),
        (2, True, "at least 3 sites, here are 2"),
        (31, None, "31 sites would exchange keys"),
        (5, False, "as asked"),
    ],
)
def test_a_study_without_the_arm_says_why(n_sites, asked, said):
    assert said in left_out(n_sites, asked)


@pytest.mark.parametrize(("n_sites", "asked"), [(3, None), (30, None), (31, True), (3, True)])
def test_the_arm_runs_from_three_sites_on(n_sites, asked):
    assert left_out(n_sites, asked) is None


def test_values_beyond_the_clip_are_cut_and_counted():
    total = make_sum({"a": np.arange(2), "b": np.arange(4), "c": np.arange(2)})
    layout = Layout.of({"w": np.zeros(3)})
    told = {"instructions": {}, "shared": {}, "settings": {}, "terms": {}}
    bound = context(model={"w": np.zeros(3)}, round=1, **told)
    total.open(layout, ["a", "b", "c"], round=1, context=bound)
    total.add("a", np.array([1024.0, -1025.0, 1.0]), 2)
    total.add("b", np.array([0.0, 0.0, 1.0]), 4)
    total.add("c", np.array([0.0, 5000.0, 1.0]), 2)
    opened = total.close()
    assert total.values_cut == 2
    np.testing.assert_allclose(opened.total, [2048.0, 0.0, 8.0], atol=1e-6)
