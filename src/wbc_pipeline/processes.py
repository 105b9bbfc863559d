"""Which process this is among those that a launcher (torchrun, Slurm) started together."""

import os

RANK_VARIABLES = ("RANK", "SLURM_PROCID", "LOCAL_RANK")


class FollowerError(RuntimeError):
    """A process other than the first has done its share and has nothing to keep."""


def is_launched() -> bool:
    """Tell whether a launcher started this process, perhaps with others."""
    return any(name in os.environ for name in RANK_VARIABLES)


def process_rank() -> int:
    """Give this process's place; 0 for the first, and for one that is alone."""
    return next((int(os.environ[name]) for name in RANK_VARIABLES if name in os.environ), 0)
