import signal
import subprocess
import sys

import mlflow
import pytest

TRAIN = """
import sys, time
from wbc_pipeline.tracking.tracker import Tracker

params = {"paper": "blend", "variant": sys.argv[2], "protocol": "random", "seed": 0, "fold": 0}
key = {"params": {**params, "dataset": "demo", "network": "n"}, "data": {}, "code": {}}
with Tracker(sys.argv[1], artifacts=None, tags={}).run(key):
    print("RUNNING", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_the_next_command_ends_the_run_of_a_killed_one_and_no_other(make_tracker, tmp_path):
    uri = make_tracker(tmp_path).uri
    commands = {}
    for name in ("killed", "alive"):
        words = [sys.executable, "-c", TRAIN, uri, name]
        commands[name] = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert all(each.stdout.readline() == "RUNNING\n" for each in commands.values())
        commands["killed"].send_signal(signal.SIGKILL)
        commands["killed"].wait()
        assert statuses(uri) == {"killed": "RUNNING", "alive": "RUNNING"}
        make_tracker(tmp_path)
        assert statuses(uri) == {"killed": "KILLED", "alive": "RUNNING"}
    finally:
        for each in commands.values():
            each.kill()
            each.communicate()


def statuses(uri):
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("blend")
    runs = client.search_runs([experiment.experiment_id])
    return {run.data.tags["variant"]: run.info.status for run in runs}
