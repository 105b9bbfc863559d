"""Where a result comes from: the command and the state of the code."""

import shlex
import subprocess
import sys
from pathlib import Path


def command_line() -> str:
    """Give the command as a user would type it again."""
    return shlex.join(["kedro", *sys.argv[1:]])


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
