"""The step ``detector_region`` of chains: where the white blood cell is, by a trained detector."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wbc_pipeline.errors import UserError
from wbc_pipeline.imaging.chain import Chain, build_chain, chain_code, chain_data
from wbc_pipeline.imaging.registry import Fit
from wbc_pipeline.imaging.roi import Region, pad_region
from wbc_pipeline.imaging.steps import settle
from wbc_pipeline.keys import digest
from wbc_pipeline.models import (
    DESCRIPTION_FILE,
    DETECTORS,
    NETWORK_FILES,
    WEIGHTS_FILE,
    load_network,
)

if TYPE_CHECKING:
    from torch import nn

TRAINING_IMAGES_FILE = "training_images.parquet"  # beside the weights of a detector

_ALIKE = 0.5  # IoU from which on two boxes are around one cell
_loading = Lock()  # or each thread of a view would read the same weights


class Detector(NamedTuple):
    """A trained detector, and how it looks at an image.

    Attributes
    ----------
    network
        In evaluation mode, on the device that it is to run on.
    look
        Makes its frame of an image: the whole of it, or a part that a step finds.
    trust
        In that step, 0 to 1: its weight in the mean of a detection with the box that it found,
        where these overlap by half.
    """

    network: "nn.Module"
    look: Chain
    trust: float = 0.0


def load_detector(folder: Path) -> Detector:
    """Load a trained detector with the steps that made the frames that it was trained on.

    Raises
    ------
    MissingNetworkError, DamagedNetworkError
        See `wbc_pipeline.models.load_network`.
    ValueError
        If it is no detector.
    """
    network, description = load_network(folder)
    if description["name"] not in DETECTORS:
        raise UserError(
            f"{folder} holds {description['name']}, which is no detector; name the folder of one "
            f"of {', '.join(DETECTORS)}"
        )
    return Detector(network, build_chain(_steps(description)), description.get("trust", 0.0))


def find_cells(detector: Detector, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the white cells in an image, or in the part of it that the detector looks at.

    Parameters
    ----------
    detector
        A trained one.
    image
        RGB, uint8, ``[H, W, 3]``.

    Returns
    -------
    boxes : np.ndarray
        float64 ``[K, 4]``: xmin, ymin, xmax, ymax in pixels of the image.
    scores : np.ndarray
        float64 ``[K]``, 0 to 1, the highest first.
    """
    import torch

    frame = settle(detector.look.run(image))
    device = next((weight.device for weight in detector.network.parameters()), None)
    with torch.inference_mode():
        pixels = torch.from_numpy(np.ascontiguousarray(frame.image)).permute(2, 0, 1)[None]
        (found,) = detector.network(pixels.to(device) / 255)
    left, top, right, bottom, _ = frame.place
    height, width = frame.image.shape[:2]
    scale = [(right - left) / width, (bottom - top) / height] * 2
    boxes = found["boxes"].double().cpu().numpy() * scale + ([left, top] * 2)
    if detector.trust and frame.box is not None and frame.box.found:
        boxes = _drawn_to(frame.box, boxes, detector.trust)
    return boxes, found["scores"].double().cpu().numpy()


def detector_region(
    image: np.ndarray, *, model: str, score: float = 0.5, padding: float = 0.0
) -> Region:
    """Box around the cell that a trained detector is surest of.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]``; the detector sees of it what it saw in training: as a rule all
        of it, squeezed to a square.
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
    boxes, scores = find_cells(_detector(model), image)
    if not len(scores) or scores.max() < score:
        return Region(0, 0, width, height, found=False)
    xmin, ymin, xmax, ymax = boxes[scores.argmax()].round().astype(int).tolist()
    left, top = min(xmin, width - 1), min(ymin, height - 1)
    region = Region(left, top, max(xmax, left + 1), max(ymax, top + 1))
    return pad_region(region, padding=padding, shape=image.shape)


def detector_digest(model: str) -> str:
    """Digest a detector's weights, and the code and data that they are used with.

    Raises
    ------
    ValueError
        If the folder holds no trained detector.
    """
    detector = _detector(model)
    steps = _steps(json.loads((_folder(model) / DESCRIPTION_FILE).read_text()))
    code = chain_code(steps, type(detector.network), find_cells)
    files = [_folder(model) / name for name in NETWORK_FILES]
    weights = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return digest([code, chain_data(steps), weights])


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
    files=lambda parameters: {"model": _folder(parameters["model"])},
)


def _drawn_to(proposed: Region, boxes: np.ndarray, trust: float) -> np.ndarray:
    """Average what overlaps a proposed box by half with it."""
    import torch
    from torchvision.ops import box_iou

    one = np.array([proposed[:4]], float)
    overlap = box_iou(torch.from_numpy(boxes), torch.from_numpy(one)).numpy()  # [K, 1]
    return np.where(overlap > _ALIKE, (1 - trust) * boxes + trust * one, boxes)


def _steps(description: dict) -> list[dict]:
    """Give the steps that make a detector's frame."""
    views = description.get("views")
    if views:
        return views["image"]
    return [{"full_resolution": {}}, {"resize": {"size": description["arguments"]["image_size"]}}]


def _folder(model: str) -> Path:
    return Path(model).expanduser().absolute()


def _detector(model: str) -> Detector:
    file = _folder(model) / WEIGHTS_FILE
    made = file.stat().st_mtime_ns if file.is_file() else 0  # a run may have trained it anew
    with _loading:
        return _loaded(file.parent, made)


@lru_cache(maxsize=2)
def _loaded(folder: Path, made: int) -> Detector:
    try:
        return load_detector(folder)
    except FileNotFoundError:
        raise UserError(
            f"there is no trained detector in {folder}; train one (kedro run --pipeline=localize) "
            "and name its folder, such as "
            "data/06_models/<dataset>/localize/detectors/<detector>/<protocol>-<seed>-<digest>"
        ) from None
