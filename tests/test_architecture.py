"""Which package may import which: dependencies point one way."""

import ast
from pathlib import Path

import pytest

import wbc_pipeline

ROOT = Path(wbc_pipeline.__file__).parent
LIBRARY = {"sources", "imaging", "models", "training", "evaluation"}

# What each package may import beside itself and the plain modules of the top, such as `keys`.
ALLOWED = {
    "sources": set(),
    "imaging": set(),
    "models": {"imaging"},
    "training": {"models", "imaging"},
    "evaluation": {"models", "imaging"},
    "datasets": LIBRARY,
    "tracking": LIBRARY | {"datasets"},
    "pipelines": LIBRARY | {"datasets", "tracking"},
    "parameters": LIBRARY | {"datasets", "pipelines", "tracking"},
}


def imports_of(file):
    """Name every module that a file imports, also inside functions and for type checkers."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: write imports in full"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages_in(modules):
    parts = {tuple(module.split(".")[:2]) for module in modules}
    return {second for first, *rest in parts if first == "wbc_pipeline" for second in rest}


def test_every_package_has_its_place():
    assert set(ALLOWED) == {path.parent.name for path in ROOT.glob("*/__init__.py")}


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_lies_below_it(package):
    for file in (ROOT / package).rglob("*.py"):
        found = packages_in(imports_of(file)) & set(ALLOWED) - {package}
        assert found <= ALLOWED[package], f"{file} imports {found - ALLOWED[package]}"


@pytest.mark.parametrize("package", sorted(LIBRARY))
def test_the_library_knows_nothing_of_kedro(package):
    for file in (ROOT / package).rglob("*.py"):
        roots = {module.partition(".")[0] for module in imports_of(file)}
        assert not roots & {"kedro", "kedro_datasets", "mlflow"}, file
