"""PneumoniaMNIST (Yang et al. 2023), chest X-rays of 28 x 28 pixels, for users of the library.

`veil.study.run` studies tables; these are `Site` objects for `veil.fl.simulate` and `ImageCNN`.
"""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from veil.errors import DataError
from veil.fl import Site
from veil.study.datasets.files import find_file
from veil.study.datasets.partition import dirichlet_partition

__all__ = ["load_pneumonia"]

_SOURCE = "https://medmnist.com (PneumoniaMNIST, 28 x 28; CC BY 4.0)"
_SHAPE = (28, 28)


def load_pneumonia(
    *,
    data_dir: Path | None,
    sites: int,
    concentration: float,
    partition_seed: int,
    min_site: int = 20,
) -> list[Site]:
    """Load chest X-rays, divided into sites by a seeded, label-skewed partition.

    Parameters
    ----------
    data_dir : Path or None
        Directory that holds ``pneumonia/pneumoniamnist.npz``; None reads ``VEIL_DATA_DIR``.
    sites : int
        Number of sites.
    concentration : float
        Parameter of the symmetric Dirichlet distribution of each class over the sites.
    partition_seed : int
        Seed of the partition.
    min_site : int
        Fewest training images of a site.

    Returns
    -------
    list of Site
        ``x`` of float32, shape (n, 28, 28), in [-1, 1]: a public scaling. Label 1 is pneumonia.
        The training images are those of the public training split; the public test split is
        divided over the sites in the same shares of each class.

    Raises
    ------
    DataError
        If the file is missing (the message names its public source) or holds something else, or
        the images cannot be divided as asked.
    """
    path = find_file(data_dir, "pneumonia", "pneumoniamnist.npz", _SOURCE)
    train, test = _read(path, "train"), _read(path, "test")
    part = dirichlet_partition(
        train[1], sites=sites, concentration=concentration, min_site=min_site, seed=partition_seed
    )
    part_of_test = _same_shares(train[1], part, test[1], sites=sites, seed=partition_seed)
    return [
        Site(
            id=f"site-{s + 1}",
            x=train[0][part == s],
            y=train[1][part == s],
            x_test=test[0][part_of_test == s],
            y_test=test[1][part_of_test == s],
            patients=None,
        )
        for s in range(sites)
    ]


def _read(path: Path, split: str) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            images, labels = archive[f"{split}_images"], archive[f"{split}_labels"].reshape(-1)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"data file {path}: expected arrays {split}_images and {split}_labels, got something "
            f"else; download it again from {_SOURCE}"
        ) from error
    if images.shape != (labels.size, *_SHAPE) or not np.isin(labels, (0, 1)).all():
        raise DataError(
            f"data file {path}: expected images of 28 x 28 with labels 0 and 1, got shape "
            f"{images.shape}; download it again from {_SOURCE}"
        )
    # Pixels are bytes by format, so this scaling is public.
    return (images.astype(np.float32) / 127.5 - 1).astype(np.float32), labels.astype(np.int8)


def _same_shares(
    labels: NDArray[np.int8],
    part: NDArray[np.int64],
    test_labels: NDArray[np.int8],
    *,
    sites: int,
    seed: int,
) -> NDArray[np.int64]:
    """Divide test rows so that each site gets its share of each class."""
    rng = np.random.default_rng([seed, sites, 1])
    assigned = np.empty(test_labels.size, dtype=np.int64)
    for label in (0, 1):
        rows = rng.permutation(np.flatnonzero(test_labels == label))
        shares = np.bincount(part[labels == label], minlength=sites) / (labels == label).sum()
        cuts = np.round(np.cumsum(shares)[:-1] * rows.size).astype(np.int64)
        for site, own in enumerate(np.split(rows, cuts)):
            assigned[own] = site
    return assigned
