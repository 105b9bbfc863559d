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
        stderr=subprocess.PIPE,
        text=True,
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
    assert benchmark.stats["min"] < min(floor) + 2


def test_second_run_reaches_its_first_training_batch_quickly(benchmark, tmp_path):
    """From the command to the line that says that training starts, with all data prepared."""
    parameters = f"data={tmp_path},tracking.enabled=false"
    words = ("run", "--env=test", "--pipelines=blend")
    assert kedro(*words, f"--params={parameters}").wait() == 0
    changed = f"--params={parameters},blend.train.learning_rate=2.0e-3"

    def until_training():
        run = kedro(*words, changed)
        reached = any("adaptive_blend: 1 of 2" in line for line in run.stderr)
        run.kill()
        run.wait()
        assert reached

    benchmark.pedantic(until_training, rounds=1)
    assert benchmark.stats["min"] < 20
