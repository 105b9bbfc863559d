"""What a command would make, found out without making it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from wbc_pipeline.datasets.results import (
    ResultsDataset,
    all_results,
    describe_seconds,
    interrupted_folders,
    result_of_working_folder,
)


@dataclass
class Plan:
    """What one or more pipelines ask for.

    Attributes
    ----------
    missing
        By dataset, the names of results that would be made, and why.
    waiting
        Nodes of which nothing can be said before these are made.
    unknown
        Why some pipelines could not be followed to their end.
    asked
        Folders of the results that are there.
    reached, beyond
        Folders of datasets whose results are all known, and of the others.
    seconds, megabytes
        By dataset, what its missing results would take, as far as earlier ones tell.
    """

    missing: dict[str, dict[str, str]] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    asked: set[Path] = field(default_factory=set)
    reached: set[Path] = field(default_factory=set)
    beyond: set[Path] = field(default_factory=set)
    seconds: dict[str, float] = field(default_factory=dict)
    megabytes: dict[str, float] = field(default_factory=dict)

    def describe(self) -> str:
        """Say in words what would be made, a line per result."""
        if not (self.missing or self.unknown):
            return "Everything is there: nothing would be made but tables, figures and the report."
        lines = []
        for dataset, names in self.missing.items():
            cost = "time and disk unknown: none was made before"
            if dataset in self.seconds:
                cost = (
                    f"about {describe_seconds(self.seconds[dataset])}, "
                    f"{self.megabytes[dataset]:.1f} MB, judging by earlier ones"
                )
            lines.append(f"{dataset}: {len(names)} would be made ({cost})")
            lines += [f"  {name or 'result'}: {why}" for name, why in names.items()]
        if self.waiting:
            lines.append(f"After these, as far as they ask for it: {', '.join(self.waiting)}")
        lines += [f"Beyond this nothing is known: {why}" for why in self.unknown]
        return "\n".join(lines)

    def unasked(self) -> list[Path]:
        """List finished and interrupted results below reached folders that were not asked for."""
        found = {
            folder: finished
            for root in self.reached
            for folder, finished in [
                *((result.folder, result.folder) for result in all_results(root)),
                *((path, result_of_working_folder(path)) for path in interrupted_folders(root)),
            ]
        }
        return sorted(
            folder
            for folder, finished in found.items()
            if finished not in self.asked and not any(map(folder.is_relative_to, self.beyond))
        )


def plan_pipelines(pipelines: Iterable[Pipeline], catalog: CatalogProtocol) -> Plan:
    """Run the nodes that describe results, look which are there, and make none.

    Parameters
    ----------
    pipelines
        What would be run.
    catalog
        Their datasets. Nothing is saved.
    """
    plan = Plan()
    for pipeline in pipelines:
        keepers = {
            name: dataset
            for name in pipeline.all_outputs()
            if isinstance(dataset := catalog.get(name), ResultsDataset)
        }
        reached: set[str] = set()
        try:
            _follow(pipeline.to_outputs(*keepers), catalog, keepers, plan, reached)
        except Exception as error:
            plan.unknown.append(str(error))
        plan.reached |= {keepers[name].folder for name in reached}
        plan.beyond |= {keepers[name].folder for name in keepers.keys() - reached}
    plan.reached -= plan.beyond
    return plan


def _follow(
    pipeline: Pipeline,
    catalog: CatalogProtocol,
    keepers: dict[str, ResultsDataset],
    plan: Plan,
    reached: set[str],
) -> None:
    pending: set[str] = set()
    values: dict[str, Any] = {}
    for node in pipeline.nodes:
        if pending & set(node.inputs):
            plan.waiting.append(node.name)
            pending |= set(node.outputs)
            continue
        for name, value in _run(node, catalog, values).items():
            if name not in keepers:
                values[name] = value
                continue
            dataset, tasks = keepers[name], value if isinstance(value, dict) else {"": value}
            missing = dataset.missing(tasks)
            if missing:
                plan.missing[name] = missing
                pending.add(name)
                _estimate(plan, name, dataset, len(missing))
            else:
                found = dataset.find(tasks)
                dataset.remember(found)
                plan.asked |= {result.folder for result in found.values()}
                reached.add(name)


def _run(node: Node, catalog: CatalogProtocol, values: dict[str, Any]) -> dict[str, Any]:
    return node.run(
        {name: values[name] if name in values else catalog.load(name) for name in node.inputs}
    )


def _estimate(plan: Plan, name: str, dataset: ResultsDataset, count: int) -> None:
    earlier = all_results(dataset.folder)
    if earlier:
        plan.seconds[name] = count * _mean([each.provenance["seconds"] for each in earlier])
        sizes = [folder_bytes(each.folder) for each in earlier]
        plan.megabytes[name] = count * _mean(sizes) / 1e6


def folder_bytes(folder: Path) -> int:
    """Size of a folder on disk, in bytes."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
