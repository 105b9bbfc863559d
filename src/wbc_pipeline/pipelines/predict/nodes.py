"""Nodes that ask a model about image files and report what it answers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import lazy_loader as lazy

from wbc_pipeline.datasets.image_files import ImageFiles
from wbc_pipeline.datasets.results import Result, Task
from wbc_pipeline.errors import UserError
from wbc_pipeline.pipelines.predict.options import ABSTAINS, NO_CELL, UNLIKE, PredictOptions
from wbc_pipeline.tracking.saved_model import SavedModel

pd = lazy.load("pandas")

FLAGS = {"no_cell_found": NO_CELL, "unlike": UNLIKE, "abstains": ABSTAINS}  # by their columns
GUESSED = 0.1  # of the way from a guess to certainty, up to which an answer is one
SHOWN = 8  # overlays on the page
# What a reader is led to, by the name of its item.
NEXT = {
    "photographs": "Box, outline and answer of every cell on some of the photographs",
    "contact_sheet": "Cells of each class",
    "flagged": "What speaks against answers",
    "cells": "Every cell",
    "unreadable": "Files that could not be read",
}
NOTES = (
    "Not for clinical use: a research model's answers, which nobody has checked on these images.",
    "Cells whose nuclei touch are counted as one, and a cell that lacks a violet nucleus, or is "
    "cut by the edge, may be missed: look at the overlays before you count.",
)


def carry_model(model: SavedModel, options: PredictOptions, home: str) -> dict[str, Path]:
    """Say which folders are copied where, so that the model answers on another machine.

    Parameters
    ----------
    model, options
        What is copied, and where to.
    home
        What a relative folder begins from.

    Returns
    -------
    dict
        ``network``, ``confidence`` (where there is one) and ``target``; nothing unless asked for.
    """
    if options.portable is None:
        return {}
    beside = {} if model.confidence is None else {"confidence": model.confidence}
    target = (Path(home) / Path(options.portable).expanduser()).resolve()
    return {"network": model.folder, **beside, "target": target}


def export_model(model: SavedModel) -> Path:
    """Say which folder holds the network that is exported."""
    return model.folder


def ask_model(
    *,
    files: ImageFiles,
    model: SavedModel,
    options: PredictOptions,
    max_pixels: int,
    device: str,
) -> dict[str, Task]:
    """Describe asking a model about files.

    Returns
    -------
    dict of str to Task
        One, by the name of what was asked; makes a folder with the answers, see
        `predicting.predict_files`.
    """
    from wbc_pipeline.pipelines.predict.keys import key_of
    from wbc_pipeline.pipelines.predict.predicting import predict_files
    from wbc_pipeline.training.devices import choose_device

    asked = options.model_dump(exclude={"workers", "portable", "confidence"})
    compute = partial(
        predict_files,
        files=files.table,
        model=model.folder,
        confidence=model.confidence,
        options=options,
        max_pixels=max_pixels,
        device=choose_device(device),
    )
    params = {"images": files.asked, "max_pixels": max_pixels, **asked}
    return {files.name: Task(key_of(params, files.table, model), compute)}


def tabulate(answers: dict[str, Result]) -> tuple[pd.DataFrame, pd.DataFrame, Path]:
    """Give what was answered as tables.

    Returns
    -------
    cells
        A row per cell, or per file without one; see `predicting.predict_files`.
    unreadable
        Files that could not be read, and why.
    overlays
        The folder of overlays.
    """
    (result,) = answers.values()
    return result.table("cells"), result.table("unreadable"), result.folder / "overlays"


def summarise(answers: dict[str, Result], cells: pd.DataFrame, files: ImageFiles) -> dict[str, Any]:
    """Count the cells by class, and show some of each.

    Returns
    -------
    items
        ``differential``, ``flagged``, ``contact_sheet`` and ``photographs``, for the page.
    """
    import numpy as np

    from wbc_pipeline.evaluation.figures.answers import contact_sheet, overlay_sheet
    from wbc_pipeline.evaluation.scores.differential import count_cells, count_flags

    (result,) = answers.values()
    tiles = np.load(result.folder / "tiles.npy")
    shown = contact_sheet(result.table("tiles"), tiles, dataset=files.name)
    return {
        "differential": count_cells(cells, result.json("model")["classes"], FLAGS),
        "flagged": count_flags(cells, FLAGS),
        "contact_sheet": shown,
        "photographs": overlay_sheet(_some_overlays(result, cells), dataset=files.name),
    }


def write_page(
    *,
    answers: dict[str, Result],
    files: ImageFiles,
    model: SavedModel,
    command: str,
    cells: pd.DataFrame,
    unreadable: pd.DataFrame,
    options: PredictOptions,
    items: dict[str, Any],
) -> str:
    """Write the answers as one page of HTML that opens offline."""
    from wbc_pipeline.evaluation.report.described import describe
    from wbc_pipeline.evaluation.report.page import Opening, render_report
    from wbc_pipeline.evaluation.scores.differential import (
        summarise_cells,
        without_probabilities,
    )
    from wbc_pipeline.pipelines.reporting.nodes import describe_command

    (result,) = answers.values()
    facts = {
        "model": model.asked,
        "trained as": model.training or "not known",
        "files": len(files.table),
        "not readable": len(unreadable),
        "framing": options.framing,
        **_describe_limit(model),
    }
    failed = describe(unreadable, "Files that could not be read", "Not predicted, and why.")
    return render_report(
        title="Answers of a trained model",
        dataset=files.asked,
        is_demo="demo" in str(model.training.get("dataset", "")).split("+"),
        summary=describe_command(files.asked, command, facts),
        opening=Opening(
            verdict="not for clinical use",
            sentence=summarise_cells(items["differential"], files=len(files.table)),
            items={"differential": items["differential"]},
            next=NEXT,
        ),
        items={
            **{name: item for name, item in items.items() if name != "differential"},
            **({"unreadable": failed} if len(unreadable) else {}),
            "cells": describe(
                without_probabilities(cells),
                "Every cell",
                "The probabilities of all classes are in cells.csv, and the overlays beside it.",
            ),
        },
        notes=[
            *NOTES,
            *explain_confidence(cells["confidence"], result.json("model")["classes"]),
            *_explain_limits(model),
            *_explain_maps(result.json("model"), options),
            *_explain_left_out(files),
        ],
    )


def _some_overlays(result: Result, cells: pd.DataFrame) -> dict[str, Any]:
    """Read a few overlays, evenly chosen, by the name of the file."""
    import numpy as np
    from PIL import Image

    drawn = cells.loc[cells["overlay"] != "", ["image_id", "overlay"]].drop_duplicates()
    chosen = drawn.iloc[np.linspace(0, len(drawn) - 1, min(SHOWN, len(drawn))).astype(int)]
    return {
        row.image_id: np.array(Image.open(result.folder / "overlays" / row.overlay))
        for row in chosen.itertuples()
    }


def check_likeness(
    *,
    files: ImageFiles,
    model: SavedModel,
    home: str,
    max_pixels: int,
    device: str,
    options: PredictOptions,
) -> pd.DataFrame:
    """Tell other images, red cells and noise from known images by their distance.

    Parameters
    ----------
    files
        Images like the training data that the model was not trained on, such as a test part.
    home
        What relative names of other images begin from.

    Returns
    -------
    DataFrame
        See `likeness.compare_likeness`.

    Raises
    ------
    UserError
        If nothing was fitted beside the model.
    """
    from wbc_pipeline.pipelines.predict import likeness
    from wbc_pipeline.pipelines.predict.predicting import Asking
    from wbc_pipeline.sources.image_files import list_image_files
    from wbc_pipeline.training.devices import choose_device

    if model.confidence is None:
        raise UserError(*_explain_limits(model))
    how = {"max_pixels": max_pixels, "device": choose_device(device), "overlays": Path()}
    asking = Asking(model.folder, model.confidence, options, **how)
    named = {each: list_image_files(each, Path(home))[0] for each in options.others}
    sets = {
        name: likeness.read_images(table["path"], max_pixels)
        for name, table in ({files.asked: files.table} | named).items()
    }
    known = files.table["path"]
    crops = likeness.red_cell_crops(likeness.read_images(known, max_pixels))
    sets |= {likeness.RED_CELLS: crops, likeness.NOISE: likeness.noise_images(len(known))}
    found = {name: likeness.unlikeness(asking, images) for name, images in sets.items()}
    return likeness.compare_likeness(found)


def explain_confidence(confidence: pd.Series, classes: list[str]) -> list[str]:
    """Say so where no answer is much surer than a guess among the classes.

    Examples
    --------
    >>> import pandas as pd
    >>> (said,) = explain_confidence(pd.Series([0.35, 0.38]), ["a", "b", "c"])
    >>> said.partition(":")[0]
    'No answer is surer than 38 %, where a guess among 3 classes is 33 %'
    >>> explain_confidence(pd.Series([0.35, 0.9]), ["a", "b", "c"])
    []
    """
    guess = 1 / len(classes)
    if not len(confidence) or confidence.max() > guess + GUESSED * (1 - guess):
        return []
    return [
        f"No answer is surer than {100 * confidence.max():.0f} %, where a guess among "
        f"{len(classes)} classes is {100 * guess:.0f} %: this model hardly tells them apart. Flags "
        "do not say so, as they compare an answer with those for its own validation images."
    ]


def _describe_limit(model: SavedModel) -> dict[str, str]:
    """Say below which confidence it abstains; nothing where that was not fitted."""
    from wbc_pipeline.models.confidence import load_confidence

    if model.confidence is None:
        return {}
    confidence, _ = load_confidence(model.confidence)
    return {"abstains": f"below a confidence of {100 * confidence.least_confidence:.0f} %"}


def _explain_limits(model: SavedModel) -> list[str]:
    if model.confidence is not None:
        return []
    return [
        "Nothing was fitted beside this model, as an earlier version trained it: confidences are "
        "not calibrated, it never abstains, and nothing is held against its training data. Run the "
        "paper's pipeline again, which trains nothing anew, and ask the training's folder."
    ]


def _explain_maps(described: dict[str, Any], options: PredictOptions) -> list[str]:
    """Say why overlays lack what was asked for."""
    is_asked = options.grad_cam and options.overlays != 0
    if not is_asked or described.get("explained", True):
        return []
    return [
        f"Overlays show no Grad-CAM: {described['network']} has no map of the image on the way to "
        "its answer, which that would need."
    ]


def _explain_left_out(files: ImageFiles) -> list[str]:
    if not files.left_out:
        return []
    return [
        f"{len(files.left_out)} files are not called as images are and were left out, such as "
        f"{files.left_out[0]}; name them one by one, by a glob or in a CSV file, to have them read."
    ]
