"""Saved networks that can be carried away: with the files that the chains of their views read.

The views of a trained network may name a detector's folder or a stain reference on the machine that
trained it. A portable folder holds these too, and its ``network.json`` names them relative to
itself.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from pkgutil import resolve_name
from types import MappingProxyType

from wbc_pipeline.errors import UserError
from wbc_pipeline.imaging.registry import FULL_RESOLUTION
from wbc_pipeline.imaging.steps import find_step, parse_step
from wbc_pipeline.keys import digest
from wbc_pipeline.models import DESCRIPTION_FILE, NETWORK_FILES
from wbc_pipeline.models.confidence import CONFIDENCE_FILES
from wbc_pipeline.models.detect import TRAINING_IMAGES_FILE

CARRIED = "carried"  # in network.json: whether files are named relative to its folder
CARRIED_FOLDER = "files"
KEY_FILE = "key.json"  # what the training depended on: variant, protocol, data set
LATEST_FILE = "latest.json"  # which results the paper's last command asked for


def pack_network(
    folder: Path,
    target: Path,
    *,
    beside: Iterable[Path] = (),
    known: Mapping[str, object] = MappingProxyType({}),
) -> None:
    """Copy a saved network with all that its views need to a folder that works anywhere.

    Parameters
    ----------
    folder
        Holds ``weights.safetensors`` and ``network.json``; may be portable itself.
    target
        The folder to write, which may exist.
    beside
        Further files to copy, such as those of a `Confidence`.
    known
        What ``network.json`` should say where that of an earlier version does not.

    Raises
    ------
    UserError
        If a file or folder that a step names is not there.
    """
    target.mkdir(parents=True, exist_ok=True)
    own = [folder / name for name in (*NETWORK_FILES, KEY_FILE, TRAINING_IMAGES_FILE)]
    for file in (*own, *beside):
        if file.is_file():
            shutil.copyfile(file, target / file.name)
    description = json.loads((folder / DESCRIPTION_FILE).read_text())
    views, files = carried_views(portable_views(description, folder))
    told = {**known, **description}
    for place, name in files.items():
        _carry(place, target / name)
    if files:
        told |= {"views": views, CARRIED: True}
    if told != description:
        (target / DESCRIPTION_FILE).write_text(json.dumps(told, indent=2))


def carried_views(views: dict[str, list[dict]]) -> tuple[dict[str, list[dict]], dict[Path, str]]:
    """Name what chains read as it is named in a portable folder.

    Parameters
    ----------
    views
        Of `portable_views`.

    Returns
    -------
    views
        The same, with names relative to a portable folder.
    files
        These names, by the files and folders that are read.
    """
    files: dict[Path, str] = {}
    return {name: [_rename(step, files) for step in steps] for name, steps in views.items()}, files


def portable_views(description: dict, folder: Path) -> dict[str, list[dict]]:
    """Give the chains of a saved network's views with the paths of their files as they are here.

    Parameters
    ----------
    description
        What is in ``network.json``.
    folder
        Where that lies.

    Returns
    -------
    dict
        Steps by the name of the view; see `imaging.chain.build_chain`.
    """
    views = description.get("views") or {}
    if not description.get(CARRIED):
        return views
    return {name: [_settle(step, folder) for step in steps] for name, steps in views.items()}


def step_files(step: dict) -> dict[str, Path]:
    """List what a step reads, by the parameter that names it."""
    name, parameters = parse_step(step)
    fit = None if name == FULL_RESOLUTION else find_step(name).fit
    return resolve_name(fit).files(parameters) if fit else {}


def _settle(step: dict, folder: Path) -> dict:
    name, parameters = parse_step(step)
    return {name: parameters | {each: str(folder / parameters[each]) for each in step_files(step)}}


def _rename(step: dict, files: dict[Path, str]) -> dict:
    """Name what a step reads by the step, and add that to the names of the steps before."""
    name, parameters = parse_step(step)
    for parameter, place in step_files(step).items():
        files.setdefault(place, f"{CARRIED_FOLDER}/{len(files)}-{name}{place.suffix}")
        parameters |= {parameter: files[place]}
    return {name: parameters}


def _carry(place: Path, copy: Path) -> None:
    if not place.exists():
        step = copy.stem.partition("-")[2]
        raise UserError(
            f"The step {step} reads {place}, which is not there: a network that looks through it "
            "cannot be carried away or asked without it. Bring it back, or name the folder of a "
            "model that has its files with it."
        )
    copy.parent.mkdir(exist_ok=True)
    if place.is_dir():
        _refuse_deeper(place)
        pack_network(place, copy)
    else:
        shutil.copyfile(place, copy)


def _refuse_deeper(folder: Path) -> None:
    """Refuse a detector whose own look reads files: it finds them where they were alone."""
    views = json.loads((folder / DESCRIPTION_FILE).read_text()).get("views") or {}
    read = [
        str(place)
        for steps in views.values()
        for step in steps
        for place in step_files(step).values()
    ]
    if read:
        raise UserError(
            f"The detector in {folder} itself looks through {read[0]}, and cannot be carried away: "
            "train one whose look is fitted on nothing, such as stain_region."
        )


def find_confidence(folder: Path) -> Path | None:
    """Find the folder of what was fitted beside a saved network, see `models.confidence`.

    Parameters
    ----------
    folder
        Of a portable network, which holds it itself, or of a finished training, which has it in
        ``../../confidence/<variant>/<run>-<digest>``.

    Returns
    -------
    Path or None
        Of several, as of other limits, that which the paper's last command asked for, else the
        newest; None if nothing was fitted.
    """
    if all((folder / name).is_file() for name in CONFIDENCE_FILES):
        return folder
    if not (folder / KEY_FILE).is_file():
        return None
    training = digest(json.loads((folder / KEY_FILE).read_text()))
    home = folder.parent.parent / "confidence"
    found = [
        key
        for key in (home / folder.parent.name).glob(f"[!.]*/{KEY_FILE}")
        if json.loads(key.read_text())["data"].get("training") == training
    ]
    latest = home / LATEST_FILE
    asked = json.loads(latest.read_text()).values() if latest.is_file() else ()
    places = {home / place for place in asked}
    best = max(found, key=lambda key: (key.parent in places, key.stat().st_mtime), default=None)
    return None if best is None else best.parent
