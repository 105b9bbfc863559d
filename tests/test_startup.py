import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
HEAVY = {
    "torch",
    "mlflow",
    "lightning",
    "sklearn",
    "cv2",
    "matplotlib",
    "pyarrow",
}  # the last: pandas
REPORT = f"import sys; print(*sorted({HEAVY} & set(sys.modules)))"


def run(code):
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_importing_the_package_loads_nothing_heavy():
    assert run(f"import wbc_pipeline; {REPORT}") == [""]


def test_waiting_threads_sleep_unless_the_user_says_otherwise(monkeypatch):
    shown = "import os, wbc_pipeline; print(os.environ['OMP_WAIT_POLICY'])"
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert run(shown) == ["PASSIVE"]
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert run(shown) == ["ACTIVE"]


@pytest.mark.parametrize("words", [["registry", "list"], ["--help"]])
def test_kedro_loads_nothing_heavy(words):
    code = f"""
import sys
from kedro.framework.cli.cli import main
sys.argv = ["kedro", *{words}]
try:
    main()
except SystemExit:
    pass
{REPORT}
"""
    assert run(code)[-1] == ""


def test_ingestion_loads_nothing_that_networks_need(tmp_path):
    words = ["run", "--env=test", "--pipelines=ingestion", f"--params=data={tmp_path}"]
    code = f"""
import sys
from kedro.framework.cli.cli import main
sys.argv = ["kedro", *{words}]
try:
    main()
except SystemExit as end:
    assert not end.code
print(*sorted({{"torch", "torchvision", "lightning", "skimage"}} & set(sys.modules)))
"""
    assert run(code)[-1] == ""


def test_kedro_run_alone_runs_blend():
    from wbc_pipeline.pipeline_registry import register_pipelines

    pipelines = register_pipelines()
    assert pipelines["__default__"].nodes == pipelines["blend"].nodes
