"""What README.md and the guides show runs as it stands, and the files they link to exist."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import veil

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def surroundings() -> dict[str, Any]:
    """What the pages take as given: a model, the models of three sites, their patients."""
    model = {"weight": np.zeros((3, 2), np.float32), "bias": np.zeros(3, np.float32)}
    rng = np.random.default_rng(1)
    site_models = [
        {name: rng.normal(size=x.shape).astype(x.dtype) for name, x in model.items()}
        for _ in range(3)
    ]
    return {
        "model": model,
        "params": model,
        "site_models": site_models,
        "patients": [120, 80, 200],
    }


def hospitals() -> dict[str, Any]:
    """What the page on Flower takes as given: a task, a site's data, everybody's key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    keys = {name: Ed25519PrivateKey.generate().public_key() for name in "abcd"}
    return {
        "TASK": veil.fl.LogisticRegression(
            features=13, learning_rate=0.1, epochs=1, batch_size=None
        ),
        "load_site": lambda context: None,
        "roster": veil.secagg.Roster(keys),
    }


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda p: p.stem)
def test_python_blocks_run_in_order(page):
    if page.stem == "flower":
        pytest.importorskip("flwr.app")
    names = surroundings() | hospitals()
    for block in blocks(page):
        exec(compile(block, page.name, "exec"), names)
    assert names["veil"] is veil


def test_readme_gives_the_weighted_mean_of_the_sites():
    names = surroundings()
    exec(blocks(REPOSITORY / "README.md")[0], names)
    want = np.average(
        [m["weight"] for m in names["site_models"]], axis=0, weights=names["patients"]
    )
    np.testing.assert_allclose(names["model"]["weight"], want, rtol=1e-5)


def test_readme_gives_the_same_for_torch_models():
    torch = pytest.importorskip("torch")
    names, tensors = surroundings(), surroundings()
    tensors["model"] = {k: torch.from_numpy(x) for k, x in tensors["model"].items()}
    tensors["site_models"] = [
        {k: torch.from_numpy(x) for k, x in m.items()} for m in tensors["site_models"]
    ]
    block = blocks(REPOSITORY / "README.md")[0]
    exec(block, names)
    exec(block, tensors)
    for name, want in names["model"].items():
        np.testing.assert_array_equal(tensors["model"][name].numpy(), want)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_linked_files_exist(page):
    targets = re.findall(r"\]\(([^)#]+)", page.read_text())
    local = [t for t in targets if "://" not in t and t.endswith((".md", ".png", "LICENSE"))]
    assert [t for t in local if not (page.parent / t).exists()] == []


def test_readme_opens_with_the_two_commands():
    opening = REPOSITORY.joinpath("README.md").read_text().splitlines()[:5]
    assert any(line.startswith("$ make study") for line in opening)
    assert any(line.startswith("$ make test") for line in opening)
