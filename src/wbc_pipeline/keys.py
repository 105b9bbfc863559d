"""Keys of results: what a result depends on, and short digests of it."""

import ast
import hashlib
import inspect
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = __package__
_ROOT = Path(__file__).parent
# Lists of names that find code at run time: what they find is digested, not the list.
Registry = dict[str, Any]


def digest(value: Any) -> str:
    """Digest a JSON-able value; equal values give equal digests, whatever the order of keys.

    Returns
    -------
    str
        The first 16 hexadecimal digits of the SHA-256.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Key:
    """Everything that a result depends on, JSON-able.

    Attributes
    ----------
    params
        What YAML and the command line say.
    data
        Digests of what flows in.
    code
        Digests by file, see `code_digest`.
    """

    params: dict[str, Any]
    data: dict[str, Any] = field(default_factory=dict)
    code: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, dict]:
        """Give the three groups as they stand in ``key.json``."""
        groups = {"params": self.params, "data": self.data, "code": self.code}
        return json.loads(json.dumps(groups, default=str))

    @property
    def digest(self) -> str:
        """Short digest that names the result's folder."""
        return digest(self.as_dict())


def run_name(protocol: str, seed: int, fold: int) -> str:
    """Name a training among those of its variant; fold 0 goes without saying.

    Examples
    --------
    >>> run_name("random", 1, 0), run_name("source", 1, 4)
    ('random-1', 'source-1-fold4')
    """
    return f"{protocol}-{seed}" + (f"-fold{fold}" if fold else "")


def explain_change(before: dict[str, dict], after: dict[str, dict]) -> list[str]:
    """Say in words what differs between two keys.

    Examples
    --------
    >>> explain_change({"params": {"train": {"epochs": 8}}}, {"params": {"train": {"epochs": 30}}})
    ['train.epochs 8 → 30']
    >>> explain_change({"code": {"imaging/roi.py": "1"}}, {"code": {"imaging/roi.py": "2"}})
    ['code of imaging/roi.py']
    """
    reasons = []
    for group in ("params", "data", "code"):
        old, new = (dict(flatten(key.get(group, {}))) for key in (before, after))
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) == new.get(name):
                continue
            if group == "params":
                reasons.append(f"{name} {_short(old, name)} → {_short(new, name)}")
            else:
                reasons.append(f"{group} of {name}")
    return reasons


def flatten(value: dict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Go through the leaves of a tree of dictionaries, their names joined by dots."""
    for name, item in value.items():
        if isinstance(item, dict) and item:
            yield from flatten(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", item


def _short(values: dict[str, Any], name: str) -> str:
    text = str(values[name]) if name in values else "none"
    return text if len(text) <= 60 else f"{text[:57]}..."


def code_digest(*objects: Any) -> dict[str, str]:
    """Digest the text behind functions, classes or modules of this package, file by file.

    Follows names within this package, through imports, down to constants. Comments, docstrings,
    annotations, formatting and what is annotated as ``Registry`` do not count, nor
    does what happens to be loaded.

    Returns
    -------
    dict of str to str
        By the path of a file below the package, a digest of the definitions that are used.
    """
    waiting = [_place_of(item) for item in objects]
    seen: dict[str, dict[str, str]] = {}
    while waiting:
        module, name = waiting.pop()
        if name is None:
            waiting += [(module, each) for each in _definitions(module)]
            continue
        texts = seen.setdefault(module, {})
        definition = _definitions(module).get(name)
        if name in texts or definition is None or _is_registry(definition):
            continue
        texts[name], used = _content(module, definition)
        waiting += used
    return {
        file_of(module).relative_to(_ROOT).as_posix(): digest(texts)
        for module, texts in sorted(seen.items())
        if any(texts.values())
    }


@dataclass(frozen=True)
class _Import:
    """A name that another module of this package defines; ``name`` None is the module itself."""

    module: str
    name: str | None


def _place_of(item: Any) -> tuple[str, str | None]:
    if isinstance(item, ModuleType):
        return item.__name__, None
    item = inspect.unwrap(item)
    return item.__module__, item.__qualname__.split(".")[0]


@cache
def _definitions(module: str) -> dict[str, ast.AST | _Import]:
    """Find what a module defines or imports from this package at its top level, by name."""
    file = file_of(module)
    if file is None:
        raise ValueError(f"{module} is no module of {PACKAGE}: only its own code is digested")
    found: dict[str, ast.AST | _Import] = {}
    for statement in _statements(ast.parse(file.read_text())):
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[statement.name] = statement
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            found |= _imports(statement)
        elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names = {name.id for target in targets for name in _names(target)}
            for name in names:
                before = found.get(name)
                both = ast.Module([before, statement], []) if isinstance(before, ast.AST) else None
                found[name] = both or statement
    return found


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Go through the top level, and into what stands there under a condition."""
    for statement in tree.body:
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test):
            continue
        if isinstance(statement, ast.If | ast.Try | ast.With):
            yield from _statements(ast.Module([*statement.body], []))
        else:
            yield statement


def _imports(statement: ast.Import | ast.ImportFrom) -> dict[str, _Import]:
    found = {}
    for alias in statement.names:
        if isinstance(statement, ast.Import):
            if alias.asname and alias.name.startswith(f"{PACKAGE}."):
                found[alias.asname] = _Import(alias.name, None)
            continue
        origin = statement.module or ""
        if origin != PACKAGE and not origin.startswith(f"{PACKAGE}."):
            continue
        inner = f"{origin}.{alias.name}"
        is_module = file_of(inner) is not None
        found[alias.asname or alias.name] = (
            _Import(inner, None) if is_module else _Import(origin, alias.name)
        )
    return found


@cache  # each training of a command asks for much the same
def _content(
    module: str, definition: ast.AST | _Import
) -> tuple[str, list[tuple[str, str | None]]]:
    """Give a definition's text, empty for an import, and what it refers to."""
    text = "" if isinstance(definition, _Import) else _text(definition)
    return text, _used_by(module, definition)


def _used_by(module: str, definition: ast.AST | _Import) -> list[tuple[str, str | None]]:
    """List what a definition refers to within this package."""
    if isinstance(definition, _Import):
        return [(definition.module, definition.name)]
    known = dict(_definitions(module))
    for node in ast.walk(definition):  # imports inside functions
        if isinstance(node, ast.Import | ast.ImportFrom):
            known |= _imports(node)
    used = []
    for node in _walk(definition):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found = known.get(node.value.id)
            if isinstance(found, _Import) and found.name is None:
                used.append((found.module, node.attr))
        elif isinstance(node, ast.Name) and node.id in known:
            found = known[node.id]
            if not isinstance(found, _Import):
                used.append((module, node.id))
            elif found.name is not None:
                used.append((found.module, found.name))
    return used


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Walk through what counts as code: no docstrings, no annotations."""
    yield node
    for _, child in _parts(node):
        for item in child if isinstance(child, list) else [child]:
            if isinstance(item, ast.AST):
                yield from _walk(item)


def _parts(node: ast.AST) -> Iterator[tuple[str, Any]]:
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        if name in ("ctx", "kind", "type_comment", "type_params") or value in (None, []):
            continue
        if name == "body" and isinstance(value, list) and _is_docstring(value[0]):
            value = value[1:]  # noqa: PLW2901
        yield name, value


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _text(node: Any) -> str:
    """Write code down in a form that is the same under every version of Python."""
    if isinstance(node, list):
        return f"[{','.join(map(_text, node))}]"
    if isinstance(node, ast.AST):
        inside = ",".join(f"{name}={_text(value)}" for name, value in _parts(node))
        return f"{type(node).__name__}({inside})"
    return repr(node)


def _is_registry(definition: ast.AST | _Import) -> bool:
    return (
        isinstance(definition, ast.AnnAssign)
        and isinstance(definition.annotation, ast.Name)
        and definition.annotation.id == "Registry"
    )


def _names(target: ast.AST) -> Iterable[ast.Name]:
    return (node for node in ast.walk(target) if isinstance(node, ast.Name))


@cache
def file_of(module: str) -> Path | None:
    """Find a module's file without importing it; None if there is none of that name."""
    path = _ROOT.joinpath(*module.split(".")[1:])
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((each for each in candidates if each.is_file()), None)
