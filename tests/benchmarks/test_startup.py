"""How long a user waits before anything happens."""

import os
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"KEDRO_DISABLE_TELEMETRY": "1"}


def kedro(*words):
    command = [sys.executable, "-m", "kedro", *words]
    return subprocess.Popen(
        command,
        cwd=PROJECT,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def python(*words):
    return subprocess.run(
        [sys.executable, *words],
        cwd=PROJECT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )


def test_registry_list_takes_a_moment(benchmark):
    def list_pipelines():
        assert kedro("registry", "list").wait() == 0

    def python_alone():
        subprocess.run([sys.executable, "-c", "import kedro.framework.cli.cli"], check=True)

    floor = []
    for _ in range(3):
        start = time.perf_counter()
        python_alone()
        floor.append(time.perf_counter() - start)
    benchmark.pedantic(list_pipelines, rounds=3)
    benchmark.extra_info["seconds of Kedro's own import"] = round(min(floor), 2)
    assert benchmark.stats["min"] < min(floor) + 0.8


FIRST_BATCH = """
import os, sys
from kedro.framework.cli.cli import main
from wbc_pipeline.training.tasks.classification import ClassificationTask

def stop(self, rows):
    print("the first batch is here", flush=True)
    os._exit(0)

ClassificationTask.training_step = stop
sys.argv = ["kedro", *sys.argv[1:]]
main()
"""


def test_second_run_reaches_its_first_training_batch_quickly(benchmark, tmp_path):
    """From the command to the first training step, with all data prepared by an earlier run."""
    words = ("run", "--env=test", "--pipelines=blend")
    assert kedro(*words, f"--params=data={tmp_path}").wait() == 0
    changed = f"--params=data={tmp_path},blend.train.learning_rate=2.0e-3"

    def until_training():
        run = python("-c", FIRST_BATCH, *words, changed)
        assert "the first batch is here" in run.stdout

    floor = []
    for _ in range(3):
        start = time.perf_counter()
        python("-c", "import torch, lightning.pytorch")
        floor.append(time.perf_counter() - start)
    benchmark.pedantic(until_training, rounds=3)
    benchmark.extra_info["seconds of importing torch and Lightning alone"] = round(min(floor), 2)
    assert benchmark.stats["min"] < min(floor) + 2
