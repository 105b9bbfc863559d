"""Tracking in MLflow: one flat run per variant, protocol, seed and fold.

The hook in :mod:`.hook` starts a tracker before a pipeline runs; whatever trains asks for it
here. Without one (tracking is off, the server is dead, a notebook) nothing is tracked, and
nothing is lost: results are on disk in any case.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from lightning.pytorch.loggers import Logger

    from wbc_pipeline.tracking.tracker import TrackedRun, Tracker

REPORTS = "reports"  # the experiment that has the reports of each command
current_tracker: "ContextVar[Tracker | None]" = ContextVar("current_tracker", default=None)


class UntrackedRun:
    """Stands in for a tracked run where nothing tracks."""

    logger: "Logger | None" = None

    def log_result(self, folder: Path, *, example: "np.ndarray | None" = None) -> None:
        """Log nothing."""


@contextmanager
def track_run(key: dict[str, dict]) -> "Iterator[TrackedRun | UntrackedRun]":
    """Track one training while the block lasts.

    Parameters
    ----------
    key
        The key of the training's result as in ``key.json``. Its ``params`` name ``paper``,
        ``variant``, ``protocol``, ``seed``, ``fold`` and ``dataset``.
    """
    tracker = current_tracker.get()
    if tracker is None:
        yield UntrackedRun()
        return
    with tracker.run(key) as tracked:
        yield tracked
