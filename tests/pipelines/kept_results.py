"""Where the results that a command asked for lie."""

import json
from pathlib import Path

import yaml

PROJECT = Path(__file__).parents[2]


def result_of(folder, name=""):
    """Folder of a result that the last command asked for."""
    places = json.loads((Path(folder) / "latest.json").read_text())
    return Path(folder) / places[name]


def write_times(data, pattern):
    """When the files of a pattern were written."""
    return {path: path.stat().st_mtime_ns for path in data.glob(pattern)}


def variants_of(paper):
    """Variants of a paper that ``conf/base`` names and that wait for no request."""
    variants = shipped(paper)["variants"]
    return {name: own for name, own in variants.items() if not own.get("on_request")}


def shipped(paper):
    """Everything that ``conf/base`` says under the name of a paper, as it is written."""
    return yaml.safe_load((PROJECT / f"conf/base/parameters_{paper}.yml").read_text())[paper]
