"""The study's network task, and images for users of the library; both need torch."""

import numpy as np
import pytest

import veil.report
from veil.errors import DataError
from veil.fl import FedAvg, ImageCNN, simulate
from veil.study import StudyOptions, run
from veil.study.datasets.pneumonia import load_pneumonia

pytest.importorskip("torch")


def test_perceptron_is_studied_like_the_logistic_regression():
    options = StudyOptions(
        task="mlp",
        epsilons=(8.0,),
        rounds=4,
        local_epochs=2,
        dp_rounds=5,
        sampling_probability=1.0,
    )
    results = run(options)
    veil.report.loads(veil.report.dumps(results))
    assert results["task"]["name"] == "mlp"
    rows = {r["method"]: r["mean"] for r in results["summary"] if r["scope"] == "mean"}
    assert set(rows) == {"local", "pooled", "fedavg", "fedavg-secagg", "dp-8", "hybrid-8"}


def test_x_rays_are_divided_over_sites_and_train_a_small_network(data_file):
    folder = data_file("pneumonia/pneumoniamnist.npz").parent.parent
    sites = load_pneumonia(data_dir=folder, sites=4, concentration=1.0, partition_seed=0)
    assert sum(s.n_train for s in sites) == 4708
    assert sum(s.n_test for s in sites) == 624
    assert all(s.x.shape[1:] == (28, 28) and np.abs(s.x).max() <= 1 for s in sites)
    shares = [s.y.mean() for s in sites]
    assert max(shares) - min(shares) > 0.1
    task = ImageCNN(size=(28, 28), channels=1, learning_rate=0.05, epochs=1, batch_size=64)
    history = simulate(task, sites, FedAvg(), rounds=1, seed=0)
    assert set(history.metrics) == {s.id for s in sites}


def test_missing_x_rays_name_their_source(tmp_path):
    with pytest.raises(DataError, match=r"pneumoniamnist\.npz.*medmnist"):
        load_pneumonia(data_dir=tmp_path, sites=4, concentration=1.0, partition_seed=0)
    (tmp_path / "pneumoniamnist.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match="download it again"):
        load_pneumonia(data_dir=tmp_path, sites=4, concentration=1.0, partition_seed=0)
