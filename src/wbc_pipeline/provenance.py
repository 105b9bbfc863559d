"""Where a result comes from: command, code, versions and machine; shown, and part of no key."""

import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "wbc_pipeline",
    "kedro",
    "torch",
    "torchvision",
    "lightning",
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "scikit-image",
)


def provenance() -> dict[str, Any]:
    """Describe what is at work here and now; imports nothing, asks git once per process.

    Returns
    -------
    dict
        JSON-able: ``command``, ``date`` (ISO 8601, UTC), ``git_commit`` and ``git_dirty`` (both
        only in a checkout), ``python``, ``versions`` by package (those that are installed),
        ``platform``, and ``cores``, the number of CPU cores that this process may use.
    """
    return {
        "command": command_line(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **git_state(),
        "python": platform.python_version(),
        "versions": dict(_versions()),
        "platform": platform.platform(),
        "cores": usable_cores(),
    }


def command_line() -> str:
    """Give the command as a user would type it again."""
    return shlex.join(["kedro", *sys.argv[1:]])


@cache
def git_state() -> dict[str, str]:
    """Give the commit of the code, and whether files differ from it; empty outside a checkout."""
    here = Path(__file__).parent

    def ask(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        is_dirty = bool(ask("status", "--porcelain", "--untracked-files=no"))
        return {"git_commit": ask("rev-parse", "HEAD"), "git_dirty": str(is_dirty).lower()}
    except (OSError, subprocess.CalledProcessError):
        return {}


def usable_cores() -> int:
    """Count the CPU cores that this process may use, which ``taskset`` or Slurm may limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
