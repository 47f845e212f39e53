"""A convolutional network on chest X-rays of four sites: FedAvg, and DP-FedSGD beside it.

Needs torch and PneumoniaMNIST, a public set of 4,708 training and 624 test images:
`VEIL_DATA_DIR` names the folder that holds pneumonia/pneumoniamnist.npz. Noise is seeded, so
this protects nobody.
"""

import argparse

from veil.dp import Ledger
from veil.fl import CentralDP, FedAvg, ImageCNN, simulate
from veil.study.datasets.pneumonia import load_pneumonia

EPSILON, DELTA = 8.0, 1e-5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="rounds of FedAvg")
    parser.add_argument("--private-rounds", type=int, default=60, help="rounds of DP-FedSGD")
    args = parser.parse_args()

    sites = load_pneumonia(data_dir=None, sites=4, concentration=1.0, partition_seed=0)
    patients = sum(site.n_train for site in sites)
    shape = {"size": (28, 28), "channels": 1}
    task = ImageCNN(**shape, learning_rate=0.05, epochs=1, batch_size=32)
    plain = simulate(task, sites, FedAvg(), rounds=args.rounds, seed=0, evaluate_every=args.rounds)

    private = CentralDP.calibrate(
        target_epsilon=EPSILON,
        target_delta=DELTA,
        max_grad_norm=1.0,
        sampling_probability=0.05,
        population=patients,
        rounds=args.private_rounds,
        unit="record",
    )
    ledger = Ledger(
        epsilon=EPSILON, delta=DELTA, unit="record", relation="add-or-remove-one", mode="planned"
    )
    dp = simulate(
        ImageCNN(**shape, learning_rate=0.5, epochs=1, batch_size=None),
        sites,
        FedAvg(),
        rounds=args.private_rounds,
        seed=0,
        privacy=private,
        ledger=ledger,
        evaluate_every=args.private_rounds,
    )

    print(f"{patients} X-rays of {len(sites)} sites; AUROC on each site's held-out images")
    print(f"{'site':10}{'FedAvg':>10}{f'DP-FedSGD, ε = {EPSILON:g}':>24}")
    for site in sites:
        before, after = (run.metrics[site.id]["auroc"] for run in (plain, dp))
        print(f"{site.id:10}{before:10.3f}{after:24.3f}")
    print(f"charged: ε = {ledger.spent().epsilon:.3f} of {EPSILON:g} at δ = {DELTA:g}")


if __name__ == "__main__":
    main()
