import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
TUTORIALS = ["first-run", "your-own-images"]  # the second goes on where the first ended
BLOCK = re.compile(r"^ *```bash\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
PLACE = re.compile(r"`((?:data|cells-results)/[\w/]+\.html)`")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Copy what a command needs, where a command of the environment ``test`` writes to ``data``."""
    copy = tmp_path_factory.mktemp("tutorial")
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(PROJECT / name, copy)
    shutil.copytree(PROJECT / "conf", copy / "conf", ignore=shutil.ignore_patterns("local"))
    (copy / "conf/test/globals.yml").unlink()
    shutil.copytree(PROJECT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def test_every_page_is_known():
    pages = (PROJECT / "docs/tutorials").glob("*.md")
    assert {page.stem for page in pages} == {"index", *TUTORIALS}


@pytest.mark.slow
@pytest.mark.parametrize("name", TUTORIALS)
def test_every_command_of_the_page_does_what_the_page_says(project, name):
    page = (PROJECT / f"docs/tutorials/{name}.md").read_text()
    commands = [
        line.strip()
        for block in BLOCK.findall(page)
        for line in block.splitlines()
        if not line.strip().startswith("pip install")
    ]
    assert commands
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {
        "PATH": search,
        "KEDRO_ENV": "test",
        "PYTHONPATH": str(project / "src"),
    }
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    for place in PLACE.findall(page):
        assert (project / place).is_file(), place
