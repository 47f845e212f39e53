"""The order of layers in design.md section 2, read from `import` lines."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import veil

PACKAGE = Path(__file__).resolve().parents[2] / "python" / "veil"
if not PACKAGE.is_dir():
    PACKAGE = Path(veil.__file__).parent

# Each module and what it may use directly; what those may use, it may use too.
ARROWS = {
    "cli": {"study", "report", "audit", "anonymize", "integrations"},
    "study": {"audit", "anonymize", "report", "fl"},
    "integrations": {"fl"},
    "audit": {"fl"},
    "report": {"fl"},
    "anonymize": {"_core"},
    "fl": {"he"},
    "he": {"secagg"},
    "secagg": {"rlwe", "dp"},
    "rlwe": {"noise"},
    "dp": {"noise"},
    "noise": {"fixed_point"},
    "fixed_point": {"ring"},
    "ring": {"random"},
    "random": {"_core"},
    "_core": set(),
}
LEAVES = {"errors", "_arrays", "_checks", "_optional", "columns"}
# What the package's own __init__ offers to every module.
ROOT_NAMES = {"__version__", "core_info", "set_num_threads"}

# Imported as they are; everything else outside the standard library goes through `require`.
REQUIRED_PACKAGES = {"numpy", "scipy", "mpmath", "cryptography", "dp_accounting"}
COMMAND_LINE_PACKAGES = {"typer", "click", "rich"}

# Rooms in which every random number is a key, a mask, a Poisson sample or noise.
PRIVATE_ROOMS = ("random", "ring", "fixed_point", "noise", "dp", "rlwe", "secagg", "he")


def closure(layer: str) -> set[str]:
    reached: set[str] = set()
    todo = set(ARROWS[layer])
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo |= ARROWS[name]
    return reached


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def parts(path: Path) -> tuple[str, ...]:
    return path.relative_to(PACKAGE).with_suffix("").parts


def layer_of(path: Path) -> str:
    return parts(path)[0]


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Dotted names that a file imports, with their lines; `from veil import x` gives `veil.x`."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import hides its layer"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


def faults_of_order(path: Path) -> Iterator[str]:
    layer = layer_of(path)
    allowed = LEAVES | (closure(layer) | {layer} if layer in ARROWS else {"_core"})
    for name, line in imported(path):
        root, _, rest = name.partition(".")
        if root != "veil":
            continue
        target = rest.partition(".")[0]
        if target not in allowed | ROOT_NAMES:
            yield f"{path.name}:{line}: {layer} may not use veil.{target or '*'}"


def faults_of_packages(path: Path) -> Iterator[str]:
    allowed = REQUIRED_PACKAGES | {"veil"} | set(sys.stdlib_module_names)
    if layer_of(path) == "cli":
        allowed |= COMMAND_LINE_PACKAGES
    for name, line in imported(path):
        if name.partition(".")[0] not in allowed and not only_for_types(path, line):
            yield f"{path.name}:{line}: {name} must come through veil._optional.require"


def only_for_types(path: Path, line: int) -> bool:
    return any(
        isinstance(node, ast.If)
        and ast.unparse(node.test).endswith("TYPE_CHECKING")
        and node.lineno < line <= (node.end_lineno or 0)
        for node in ast.walk(tree(path))
    )


def calls(node: ast.AST) -> Iterator[tuple[str, int]]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call):
            yield ast.unparse(inner.func), inner.lineno


def names(node: ast.AST) -> Iterator[tuple[str, int]]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute | ast.Name):
            yield ast.unparse(inner), inner.lineno


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree(path)) if isinstance(node, kinds)]


@pytest.mark.parametrize("path", sources(), ids=lambda p: "/".join(parts(p)))
def test_module_uses_only_what_lies_to_its_right(path):
    known = set(ARROWS) | LEAVES | {"__init__"}
    assert layer_of(path) in known, f"veil.{layer_of(path)} has no place in the order of layers"
    assert list(faults_of_order(path)) == []


@pytest.mark.parametrize("path", sources(), ids=lambda p: "/".join(parts(p)))
def test_optional_dependencies_come_through_require_inside_functions(path):
    assert list(faults_of_packages(path)) == []
    if layer_of(path) == "_optional":
        return
    inside = {line for function in functions(path) for _, line in calls(function)}
    outside = [
        line
        for name, line in calls(tree(path))
        if name in {"require", "_optional.require"} and line not in inside
    ]
    assert outside == [], f"require at import time on lines {outside}"
    if layer_of(path) != "__init__":
        importers = [line for name, line in calls(tree(path)) if name.endswith("import_module")]
        assert importers == [], f"import_module outside _optional on lines {importers}"


@pytest.mark.parametrize("path", sources(), ids=lambda p: "/".join(parts(p)))
def test_integrations_do_not_use_each_other(path):
    if layer_of(path) != "integrations" or len(parts(path)) < 2:
        return
    own = parts(path)[1]
    others = [
        name
        for name, _ in imported(path)
        if name.startswith("veil.integrations.") and name.split(".")[2] != own
    ]
    assert others == []


@pytest.mark.parametrize("path", sources(), ids=lambda p: "/".join(parts(p)))
def test_nothing_prints_outside_the_command_line(path):
    printed = [line for name, line in calls(tree(path)) if name == "print"]
    assert layer_of(path) == "cli" or printed == []


@pytest.mark.parametrize("path", sources(), ids=lambda p: "/".join(parts(p)))
def test_only_arrays_knows_views_of_foreign_memory(path):
    if layer_of(path) == "_arrays":
        return
    doors = {"from_dlpack", "__dlpack__", "__cuda_array_interface__"}
    used = [(name, line) for name, line in names(tree(path)) if name.rpartition(".")[2] in doors]
    assert used == []


@pytest.mark.parametrize("path", sources(), ids=lambda p: "/".join(parts(p)))
def test_no_other_generator_near_keys_masks_samples_or_noise(path):
    private = layer_of(path) in PRIVATE_ROOMS or parts(path)[:2] == ("fl", "privacy")
    if not private:
        return
    stdlib = [line for name, line in imported(path) if name.partition(".")[0] == "random"]
    assert stdlib == [], f"the random module on lines {stdlib}"
    foreign = [
        (name, line)
        for name, line in names(tree(path))
        if name.startswith(("np.random", "numpy.random", "torch.rand", "torch.normal"))
        or name.rpartition(".")[2] in {"default_rng", "manual_seed", "normal_", "bernoulli_"}
    ]
    assert foreign == []


def test_the_order_itself_has_no_cycle():
    assert [layer for layer in ARROWS if layer in closure(layer)] == []


@pytest.mark.parametrize(
    ("where", "line", "fault"),
    [
        ("ring.py", "from veil.fl import Layout", "ring may not use veil.fl"),
        ("dp/count.py", "from veil import rlwe", "dp may not use veil.rlwe"),
        ("audit/attack.py", "import veil.report", "audit may not use veil.report"),
        ("errors.py", "from veil import dp", "errors may not use veil.dp"),
    ],
)
def test_a_line_against_the_order_is_found(where, line, fault, tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    path = tmp_path / where
    path.parent.mkdir(exist_ok=True)
    path.write_text(line + "\n")
    assert [found.partition(": ")[2] for found in faults_of_order(path)] == [fault]


def test_a_direct_import_of_an_optional_package_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    path = tmp_path / "fl.py"
    path.write_text("def f():\n    import torch.nn\n")
    assert len(list(faults_of_packages(path))) == 1
