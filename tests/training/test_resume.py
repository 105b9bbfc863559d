import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("resumable.py")


@pytest.mark.slow
@pytest.mark.parametrize("case", ["best", "average", "detection"])
def test_a_training_killed_five_times_ends_like_one_that_was_not(case, tmp_path):
    run = subprocess.run(
        [sys.executable, SCRIPT, case, tmp_path], check=False, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    with_checkpoint = int(re.search(r"5 kills, (\d) with a checkpoint", run.stdout)[1])
    assert with_checkpoint > 0
    for name in ("weights.safetensors", "history.csv", "paths.csv"):
        whole, killed = ((tmp_path / part / name).read_bytes() for part in ("whole", "killed"))
        assert whole == killed, name
