"""What the models of papers cost: parameters, operations, seconds of training."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import lazy_loader as lazy

from wbc_pipeline.datasets.comparison import Outputs, PaperOutputs
from wbc_pipeline.datasets.results import Result, Task
from wbc_pipeline.keys import Key, code_digest, digest

pd = lazy.load("pandas")

TURNS = 8  # flips and turns that a variant with ``turns`` looks at
OF_TRAININGS = ["parameters", "training_seconds"]
Facts = dict[str, dict[str, Any]]


def compared_papers(outputs: Outputs, facts: Facts) -> list[str]:
    """Name the papers that have been run, in the order of the project."""
    return [name for name in facts if name in outputs.papers]


def count_flops(outputs: Outputs, facts: Facts) -> dict[str, Task]:
    """Describe how many operations each network of the papers takes, each architecture once.

    Returns
    -------
    dict of str to Task
        By `architecture`; each makes ``operations.json``.
    """
    from wbc_pipeline.models import network_class, operations

    networks = {
        architecture(network): network
        for paper in compared_papers(outputs, facts)
        for network in outputs.papers[paper].networks.values()
        if "image_size" in network["arguments"]
    }

    def compute(folder: Path, *, network: dict) -> None:
        flops = operations.count_operations(network["name"], network["arguments"])
        (folder / "operations.json").write_text(json.dumps({"flops": flops}))

    return {
        name: Task(
            Key(
                params={key: network[key] for key in ("name", "arguments")},
                code=code_digest(operations.count_operations, network_class(network["name"])),
            ),
            partial(compute, network=network),
        )
        for name, network in networks.items()
    }


def architecture(network: dict) -> str:
    """Name a network by what rebuilds it: its name and its arguments."""
    return f"{network['name']}/{digest(network['arguments'])}"


def costs_of(
    paper: PaperOutputs, operations: dict[str, Result], members: dict[str, list[str]]
) -> pd.DataFrame:
    """List parameters, operations and seconds of training, by variant and protocol."""
    runs = paper.table("runs")
    if runs.empty:
        return runs
    keys = ["variant", "protocol"]
    table = runs.groupby(keys, sort=False)[OF_TRAININGS].mean()
    flops = {
        variant: operations[name].json("operations")["flops"]
        * (TURNS if network.get("turns") else 1)
        for variant, network in paper.networks.items()
        if (name := architecture(network)) in operations
    }
    table["flops"] = table.index.get_level_values("variant").map(flops).to_numpy(float)
    of_protocols = {protocol: own.droplevel(1) for protocol, own in table.groupby("protocol")}
    for variant, names in members.items():
        for protocol, own in of_protocols.items():
            if own.index.isin(names).sum() == len(names):
                table.loc[(variant, protocol), :] = own.loc[names].sum(skipna=False)
    return table.reset_index()
