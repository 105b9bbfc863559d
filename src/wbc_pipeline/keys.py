"""Keys of results: short digests of everything that a result depends on."""

import hashlib
import inspect
import json
import sys
from types import ModuleType
from typing import Any

PACKAGE = __package__


def digest(value: Any) -> str:
    """Digest a JSON-able value; equal values give equal digests, whatever the order of keys.

    Returns
    -------
    str
        The first 16 hexadecimal digits of the SHA-256.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run_name(protocol: str, seed: int, fold: int) -> str:
    """Name a training among those of its variant; fold 0 goes without saying.

    Examples
    --------
    >>> run_name("random", 1, 0), run_name("source", 1, 4)
    ('random-1', 'source-1-fold4')
    """
    return f"{protocol}-{seed}" + (f"-fold{fold}" if fold else "")


def source_digest(*objects: Any) -> str:
    """Digest the source text behind functions, classes or modules of this package.

    Followed are the modules of this package that theirs import at the top, and so on: a
    change to a convolution block changes the digest of every network built from it.
    """
    waiting = [_module_name(item) for item in objects]
    sources: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        if name in sources:
            continue
        module = sys.modules[name]
        sources[name] = inspect.getsource(module)
        imported = {_module_name(value) for value in vars(module).values()}
        waiting.extend(other for other in imported if _is_ours(other))
    return digest(sources)


def _module_name(item: Any) -> str:
    if isinstance(item, ModuleType):
        return item.__name__
    return getattr(item, "__module__", None) or ""


def _is_ours(name: str) -> bool:
    return isinstance(name, str) and name.startswith(f"{PACKAGE}.") and name in sys.modules
