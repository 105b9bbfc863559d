"""The configuration, in which a paper may choose its data set and protocols."""

import re
from pathlib import Path
from typing import Any

import click
from kedro.config import OmegaConfigLoader
from kedro.framework.project import pipelines
from omegaconf import OmegaConf

from wbc_pipeline.keys import digest

_ROLES = ("dataset", "boxes")
WITHOUT_DATASET = {"predict", "likeness", "export"}  # pipelines that look at no data set


class ConfigLoader(OmegaConfigLoader):
    """Kedro's loader, which fills in what neither the command nor an environment says.

    Where ``dataset``, ``boxes`` or ``protocols`` are null, as in ``conf/paper``, they are those of
    the paper whose pipeline was asked for.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        self._read: dict[str, Any] = {}
        super().__init__(*args, **kwargs)

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Read a kind of configuration, once."""
        if key == "globals":
            return super().__getitem__(key)
        if key not in self._read:
            # Kedro would keep the resolver of the process's first loader.
            OmegaConf.register_new_resolver("chosen", self._chosen, replace=True)
            config = super().__getitem__(key)
            self._read[key] = self._fill_in(config) if key == "parameters" else config
        return self._read[key]

    def _chosen(self, name: str) -> str:
        return self["parameters"][name]

    def _fill_in(self, parameters: dict[str, Any]) -> dict[str, Any]:
        if parameters["dataset"] and parameters["protocols"]:
            return parameters | {"boxes": parameters["boxes"] or parameters["dataset"]}
        missing = [name for name in (*_ROLES, "protocols") if parameters.get(name) is None]
        paper = _requested_paper()
        own = parameters[paper]["paper"] if paper else {}
        datasets = own.get("datasets", {})
        classes = parameters["dataset"] or datasets.get("classes") or _unused_dataset()
        if classes is None:
            raise click.ClickException(
                "Nothing says which data set to take: this environment takes that of the paper, "
                "and not one paper was asked for. Say it: --params=dataset=…"
            )
        boxes = datasets.get("boxes", classes) if parameters["dataset"] is None else classes
        chosen = {
            "dataset": classes,
            "boxes": boxes,
            "protocols": own.get("protocols", ["source"]),
        }
        return parameters | {name: chosen[name] for name in missing}


def _unused_dataset() -> str | None:
    """Name a data set where only pipelines were asked for that look at none."""
    requested = set(pipelines._requested_pipelines or ())
    return "demo" if requested and requested <= WITHOUT_DATASET else None


def cell_finder(detector: str | None) -> dict[str, dict]:
    """Give the step that finds cells: a trained detector in a folder, else ``stain_region``."""
    return {"detector_region": {"model": detector}} if detector else {"stain_region": {}}


def cropped_by(detector: str | None) -> str:
    """Say in words by what `cell_finder` crops."""
    return "a trained detector" if detector else "stain"


def total(*numbers: int) -> int:
    """Add numbers, such as the epochs of stages."""
    return sum(numbers)


def asked_name(images: Any, model: Any) -> str:
    """Name the folder of a model's answers on images: two models never overwrite each other."""
    stem = re.sub(r"\W+", "_", Path(str(images)).stem).strip("_") or "images"
    return f"{stem[:40]}-{digest([str(images), str(model)])[:6]}"


def store(tracking: dict[str, Any]) -> str:
    """Give the URI of MLflow's store."""
    return tracking["uri"]


def by_paper(choices: dict[str, Any], otherwise: Any) -> Any:
    """Choose by the paper whose pipeline was asked for; ``otherwise`` if it is none of these."""
    return choices.get(_requested_paper(), otherwise)


def _requested_paper() -> str | None:
    """Find the paper whose pipeline was asked for; None if none or several were."""
    from wbc_pipeline.pipelines.papers import PAPERS

    names = [paper.name for paper in PAPERS]
    requested = pipelines._requested_pipelines or ["__default__"]
    asked = {names[0] if name == "__default__" else name for name in requested}
    papers = [name for name in names if name in asked]
    return papers[0] if len(papers) == 1 else None
