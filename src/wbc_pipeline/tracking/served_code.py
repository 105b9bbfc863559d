"""Which files of this package, and which other packages, a served model needs."""

import ast
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path

from wbc_pipeline.keys import PACKAGE, file_of

# What an imported package needs for what is done here, and does not bring itself.
BROUGHT_BY_NOBODY = {"skimage": "pywavelets"}


@cache
def reachable_files(modules: frozenset[str]) -> frozenset[Path]:
    """Follow imports within this package, without importing anything.

    Parameters
    ----------
    modules
        Names of modules of this package.

    Returns
    -------
    frozenset of Path
        Files of the modules, of what they import, and of the packages around.
    """
    waiting, found = list(modules), set()
    while waiting:
        name = waiting.pop()
        file = file_of(name)
        if file is None or file in found:
            continue
        found.add(file)
        waiting.append(name.rpartition(".")[0])
        waiting += [each for each in _imported(file) if each.partition(".")[0] == PACKAGE]
    return frozenset(found)


def requirements(files: Iterable[Path]) -> list[str]:
    """List the installed packages that files import, each pinned to its version here.

    Without the label of a build, such as ``+cpu``, which package indexes do not have.
    """
    imported = {name.partition(".")[0] for file in files for name in _imported(file)}
    others = imported - sys.stdlib_module_names - {PACKAGE}
    names = {_distributions()[name] for name in others if name in _distributions()}
    names |= {BROUGHT_BY_NOBODY[name] for name in others if name in BROUGHT_BY_NOBODY}
    return sorted(f"{name}=={_version(name)}" for name in names)


@cache
def _version(name: str) -> str:
    return version(name).partition("+")[0]


@cache
def _distributions() -> dict[str, str]:
    """Name the package that brings a module; of several, the one that is called as it is."""
    return {
        module: module if module in packages else packages[0]
        for module, packages in packages_distributions().items()
    }


@cache
def _imported(file: Path) -> tuple[str, ...]:
    """Name the modules that a file imports, at its top or later, but not for types alone."""
    return tuple(_imports(file))


def _imports(file: Path) -> Iterator[str]:
    waiting: list[ast.AST] = [ast.parse(file.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        waiting += ast.iter_child_nodes(node)
