"""Kedro's settings of the project."""

import os
from pathlib import Path

from kedro.utils import find_kedro_project

from wbc_pipeline.config import (
    ConfigLoader,
    asked_name,
    by_paper,
    cell_finder,
    cropped_by,
    store,
    total,
)
from wbc_pipeline.parameters.hook import ParameterHook
from wbc_pipeline.provenance import command_line
from wbc_pipeline.tracking.hook import TrackingHook


def absolute_path(text: str | None) -> str | None:
    """Resolve ``~``, and what is relative against the project's folder; None stays None."""
    if text is None:
        return None
    return str((find_kedro_project(Path.cwd()) or Path.cwd()) / Path(str(text)).expanduser())


HOOKS = (ParameterHook(), TrackingHook())

CONFIG_LOADER_CLASS = ConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment's file says only what differs; the rest of a group stays as in base.
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
    "custom_resolvers": {
        "env": os.environ.get,
        "path": absolute_path,
        "command": command_line,
        "cell_finder": cell_finder,
        "cropped_by": cropped_by,
        "by_paper": by_paper,
        "total": total,
        "asked_name": asked_name,
        "store": store,
    },
}
