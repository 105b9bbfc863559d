"""Kedro's settings of the project."""

import os

from wbc_pipeline.parameters import ParameterHook
from wbc_pipeline.tracking.hook import TrackingHook, command_line

HOOKS = (ParameterHook(), TrackingHook())

CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "base",
    # An environment's file says only what differs; the rest of a group stays as in base.
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
    "custom_resolvers": {"env": os.environ.get, "command": command_line},
}
