"""The step ``detector_region`` of chains: where the white blood cell is, by a trained detector."""

import hashlib
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from wbc_pipeline.errors import UserError
from wbc_pipeline.imaging.registry import Fit
from wbc_pipeline.imaging.roi import Region, pad_region
from wbc_pipeline.imaging.steps import resize
from wbc_pipeline.keys import code_digest, digest
from wbc_pipeline.models import DETECTORS, NETWORK_FILES, WEIGHTS_FILE, load_network

if TYPE_CHECKING:
    from torch import nn

TRAINING_IMAGES_FILE = "training_images.parquet"  # beside the weights of a detector

_loading = Lock()  # or each thread of a view would read the same weights


def detector_region(
    image: np.ndarray, *, model: str, score: float = 0.5, padding: float = 0.0
) -> Region:
    """Box around the cell that a trained detector is surest of.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]``; the detector sees it squeezed to a square.
    model
        The folder of a trained detector, absolute or relative to the folder that the command is
        run in; see ``wbc_pipeline.models.save_network``. It is read once in a process.
    score
        Detections below this score, 0 to 1, are none.
    padding
        Added on each side, as a share of the box's longer side.

    Returns
    -------
    Region
        Inside the image; the whole image, ``found=False``, where no detection has the score.

    Raises
    ------
    ValueError
        If the folder holds no trained detector, or `score` or `padding` is out of its range.
    """
    if not 0 <= score <= 1:
        raise ValueError(f"score is 0 to 1, not {score}")
    if padding < 0:  # also where there is nothing to pad
        raise ValueError(f"padding is a share of the longer side, at least 0, not {padding}")
    height, width = image.shape[:2]
    found = _surest(_detector(model), image, score)
    if found is None:
        return Region(0, 0, width, height, found=False)
    xmin, ymin, xmax, ymax = (found * ([width, height] * 2)).round().astype(int).tolist()
    left, top = min(xmin, width - 1), min(ymin, height - 1)
    region = Region(left, top, max(xmax, left + 1), max(ymax, top + 1))
    return pad_region(region, padding=padding, shape=image.shape)


def detector_digest(model: str) -> str:
    """Digest a detector's weights, and the code that they are used by.

    Raises
    ------
    ValueError
        If the folder holds no trained detector.
    """
    code = code_digest(type(_detector(model)))
    files = [_folder(model) / name for name in NETWORK_FILES]
    return digest([code, [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]])


def training_images(model: str) -> list[dict]:
    """List the images that a detector was trained on, a row each.

    Returns
    -------
    list of dict
        ``dataset``, ``image_id``, ``source_id`` (None where not known) and ``sha256`` of the file.

    Raises
    ------
    ValueError
        If the folder does not say it.
    """
    import pandas as pd

    file = _folder(model) / TRAINING_IMAGES_FILE
    if not file.is_file():
        raise UserError(
            f"no table of training images, {file}: a detector may only crop images that it was not "
            "trained on; train it again (kedro run --pipeline=localize) and name its new folder"
        )
    table = pd.read_parquet(file, columns=["dataset", "image_id", "source_id", "sha256"])
    return table.astype(object).where(table.notna(), None).to_dict("records")


DETECTOR_FIT = Fit(
    digest=lambda parameters: detector_digest(parameters["model"]),
    images=lambda parameters: training_images(parameters["model"]),
)


def _surest(network: "nn.Module", image: np.ndarray, score: float) -> np.ndarray | None:
    """Find the best box, in shares of the image's sides, float64 ``[4]``."""
    import torch

    size = network.image_size
    frame = resize(image, size=size)
    with torch.inference_mode():
        (found,) = network(torch.from_numpy(frame).permute(2, 0, 1)[None] / 255)
    scores = found["scores"]
    if not len(scores) or scores.max() < score:
        return None
    return found["boxes"][scores.argmax()].double().numpy() / size


def _folder(model: str) -> Path:
    return Path(model).expanduser().absolute()


def _detector(model: str) -> "nn.Module":
    file = _folder(model) / WEIGHTS_FILE
    made = file.stat().st_mtime_ns if file.is_file() else 0  # a run may have trained it anew
    with _loading:
        return _loaded(file.parent, made)


@lru_cache(maxsize=2)
def _loaded(folder: Path, made: int) -> "nn.Module":
    try:
        network, description = load_network(folder)
    except FileNotFoundError:
        raise UserError(
            f"there is no trained detector in {folder}; train one (kedro run --pipeline=localize) "
            "and name its folder, such as "
            "data/06_models/<dataset>/localize/detectors/<detector>/<protocol>-<seed>-<digest>"
        ) from None
    if description["name"] not in DETECTORS:
        raise UserError(
            f"{folder} holds {description['name']}, which is no detector; name the folder of one "
            f"of {', '.join(DETECTORS)}"
        )
    return network
