import json
import subprocess
import sys
from datetime import datetime, timedelta

import pytest

from wbc_pipeline import provenance as module
from wbc_pipeline.provenance import provenance


def test_provenance_is_a_json_object_of_known_facts():
    facts = json.loads(json.dumps(provenance()))
    known = {"command", "date", "git_commit", "git_dirty", "python", "versions", "platform"}
    assert facts.keys() == known | {"cores"}
    assert {"wbc_pipeline", "kedro", "torch", "torchvision", "lightning"} <= facts[
        "versions"
    ].keys()
    assert datetime.fromisoformat(facts["date"]).utcoffset() == timedelta(0)
    assert facts["cores"] >= 1


def test_git_is_asked_once_per_process(monkeypatch):
    provenance()
    monkeypatch.setattr(module.subprocess, "run", None)
    assert "git_commit" in provenance()


def test_outside_a_checkout_there_is_no_commit(monkeypatch):
    def no_git(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(module.subprocess, "run", no_git)
    module.git_state.cache_clear()
    try:
        assert "git_commit" not in provenance()
    finally:
        module.git_state.cache_clear()


def test_provenance_imports_no_library():
    code = "from wbc_pipeline.provenance import provenance; provenance(); import sys\n"
    loaded = subprocess.run(
        [sys.executable, "-c", code + "print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"torch", "numpy", "lightning", "cv2"} & set(loaded)


@pytest.mark.skipif(sys.platform != "linux", reason="taskset is Linux's")
def test_cores_are_those_that_the_process_may_use():
    code = "from wbc_pipeline.provenance import usable_cores; print(usable_cores())"
    done = subprocess.run(
        ["taskset", "-c", "0", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "1"
