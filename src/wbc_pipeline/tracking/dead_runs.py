"""Runs of commands that died without a word, as by SIGKILL or for want of memory."""

import logging
import os
import socket

import psutil
from mlflow import MlflowClient
from mlflow.entities import RunStatus

HOST, PROCESS, STARTED = "host", "process", "process_started"  # tags that name a process for good
_SAME_START = 10.0  # seconds: the clock by which a start is told may be set meanwhile
_log = logging.getLogger(__name__)


def process_tags() -> dict[str, str]:
    """Name this process so that others can tell whether it still lives."""
    started = psutil.Process().create_time()
    return {HOST: socket.gethostname(), PROCESS: str(os.getpid()), STARTED: f"{started:.0f}"}


def close_dead_runs(client: MlflowClient) -> None:
    """End as KILLED the runs that say RUNNING, and whose process on this machine is no more."""
    experiments = [each.experiment_id for each in client.search_experiments()]
    here = f"attributes.status = 'RUNNING' AND tags.{HOST} = '{socket.gethostname()}'"
    for run in client.search_runs(experiments, filter_string=here):
        tags = run.data.tags
        if not _lives(int(tags[PROCESS]), float(tags[STARTED])):
            client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))
            _log.info("The run %s of a command that was killed is KILLED", run.info.run_name)


def _lives(process: int, started: float) -> bool:
    try:
        found = psutil.Process(process)
        is_same = abs(found.create_time() - started) < _SAME_START  # numbers are given again
        return is_same and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
