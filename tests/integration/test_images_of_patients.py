"""The image CNN on real chest X-rays of three sites."""

import numpy as np
import pytest

from veil.dp import Ledger
from veil.fl import CentralDP, FedAvg, ImageCNN, Site, simulate

ROWS, TEST_ROWS, SITES = 600, 240, 3


@pytest.fixture
def hospitals(data_file):
    """PneumoniaMNIST cut into three sites of 200 training images."""
    archive = np.load(data_file("pneumonia/pneumoniamnist.npz"))
    x, y = archive["train_images"][:ROWS], archive["train_labels"][:ROWS].ravel()
    x_test, y_test = archive["test_images"][:TEST_ROWS], archive["test_labels"][:TEST_ROWS].ravel()
    return [
        Site(
            id=f"hospital-{i}",
            x=(x[i::SITES] / 255).astype(np.float32),
            y=y[i::SITES].astype(int),
            x_test=(x_test[i::SITES] / 255).astype(np.float32),
            y_test=y_test[i::SITES].astype(int),
            patients=None,
        )
        for i in range(SITES)
    ]


def mean_auroc(run):
    return np.mean([scores["auroc"] for scores in run.metrics.values()])


def test_three_sites_learn_pneumonia(hospitals):
    pytest.importorskip("torch", reason="torch: pip install 'veil[torch]'")
    task = ImageCNN(learning_rate=0.05, epochs=1, batch_size=16, channels=1, size=(28, 28))
    run = simulate(task, hospitals, FedAvg(), rounds=5, seed=1, evaluate_every=5)
    assert mean_auroc(run) > 0.85


def test_three_sites_learn_pneumonia_privately(hospitals):
    """Little noise and few rounds: that gradients per record train a CNN, not what ε costs."""
    pytest.importorskip("torch", reason="torch: pip install 'veil[torch]'")
    task = ImageCNN(learning_rate=0.5, epochs=1, batch_size=None, channels=1, size=(28, 28))
    privacy = CentralDP(
        noise_multiplier=0.5,
        max_grad_norm=1.0,
        sampling_probability=0.3,
        population=ROWS,
        rounds=15,
        unit="record",
    )
    ledger = Ledger(
        epsilon=30.0, delta=1e-5, unit="record", relation="add-or-remove-one", mode="planned"
    )
    run = simulate(
        task,
        hospitals,
        FedAvg(),
        rounds=15,
        seed=1,
        privacy=privacy,
        ledger=ledger,
        evaluate_every=15,
    )
    assert mean_auroc(run) > 0.72
