"""What answers on files depend on."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pandas as pd

from wbc_pipeline.imaging.chain import chain_code, chain_data
from wbc_pipeline.keys import Key, code_digest, digest
from wbc_pipeline.models import DESCRIPTION_FILE, WEIGHTS_FILE, network_class
from wbc_pipeline.models.confidence import CONFIDENCE_FILES
from wbc_pipeline.models.portable import portable_views
from wbc_pipeline.pipelines.predict.predicting import predict_files
from wbc_pipeline.tracking.saved_model import SavedModel


def key_of(params: dict, files: pd.DataFrame, model: SavedModel) -> Key:
    """Make the key of the answers of a model on files.

    Parameters
    ----------
    params
        How it is asked.
    files
        ``image_id`` and ``path``; a file's size and time of change stand for its bytes.
    model
        Where it lies does not count.
    """
    description = json.loads((model.folder / DESCRIPTION_FILE).read_text())
    views = portable_views(description, model.folder)
    stamps = [[image_id, path, _stamp(path)] for image_id, path in files.to_numpy().tolist()]
    return Key(
        params=params,
        data={
            "files": digest(stamps),
            "network": _digest(model.folder, [WEIGHTS_FILE]),
            "answers": {name: value for name, value in description.items() if name != "views"},
            "confidence": _digest(model.confidence, CONFIDENCE_FILES)
            if model.confidence
            else "none",
            "steps": {name: chain_data(steps) for name, steps in views.items()},
        },
        code={
            **{
                name: value for steps in views.values() for name, value in chain_code(steps).items()
            },
            **code_digest(predict_files, network_class(description["name"])),
        },
    )


def _stamp(path: str) -> list[int] | str:
    try:
        status = os.stat(path)
    except OSError:
        return "missing"
    return [status.st_size, status.st_mtime_ns]


def _digest(folder: Path, names: list[str] | tuple[str, ...]) -> str:
    found = hashlib.sha256()
    for name in names:
        with open(folder / name, "rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:16]
