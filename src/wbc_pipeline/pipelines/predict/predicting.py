"""Asking a model about image files, a few at a time: memory does not grow with their number."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
import torch

from wbc_pipeline.evaluation.localization.grad_cam import grad_cam
from wbc_pipeline.imaging.arrays import map_chunks, split_rows
from wbc_pipeline.imaging.reading import FileImage, UnreadableImageError, read_image
from wbc_pipeline.imaging.roi import Region
from wbc_pipeline.imaging.stained_cells import Cell
from wbc_pipeline.imaging.steps import Frame, parse_step
from wbc_pipeline.models.confidence import load_confidence
from wbc_pipeline.models.detect import _detector
from wbc_pipeline.models.fields import cut_out, find_field, is_image_of_one
from wbc_pipeline.models.portable import portable_views
from wbc_pipeline.pipelines.predict.options import ABSTAINS, NO_CELL, UNLIKE, PredictOptions
from wbc_pipeline.pipelines.predict.outputs import (
    UNREADABLE_SCHEMA,
    Samples,
    Table,
    cell_schema,
)
from wbc_pipeline.pipelines.predict.overlays import Drawn, draw_overlay, draw_tile, shrink
from wbc_pipeline.sources.image_files import printable
from wbc_pipeline.training.classifier import Classifier

CHUNK = 16  # files at a time, for each thread
CELLS, UNREADABLE, OVERLAYS = "cells", "unreadable", "overlays"
_DETECTOR = "detector_region"
_DETECTOR_SCORE = 0.5  # the step's own default
_UNKNOWN_SHARE = 0.5  # of a cell in its image, where nobody measured the training images


class _Shown(NamedTuple):
    """A cell on its way: what the network sees of it, and where that lies."""

    file: int
    cell: Cell
    found: bool
    views: dict[str, np.ndarray]
    seen: Region
    tile: np.ndarray


@dataclass
class _File:
    """A file on its way."""

    image_id: str
    number: int
    height: int = 0
    width: int = 0
    warning: str | None = None
    small: np.ndarray | None = None
    scale: float = 1.0
    cells: list[Drawn] = field(default_factory=list)


class _Judged(NamedTuple):
    """Answers on N cells, and how far they can be trusted."""

    views: list[np.ndarray]  # uint8 [N, S, S, 3] each
    probabilities: np.ndarray  # [N, C]
    confidence: np.ndarray  # calibrated where that was fitted, [N]
    unlikeness: np.ndarray  # distance from the training data, in limits; NaN if not known, [N]
    abstains: np.ndarray  # bool [N]


class _Done(NamedTuple):
    rows: list[dict]
    unreadable: list[dict]
    tiles: list[tuple[dict, np.ndarray]]


class Asking:
    """A model, ready to be asked about files.

    Parameters
    ----------
    folder
        Of the saved network.
    confidence
        Of what was fitted beside it; None for nothing.
    options
        How it is asked.
    max_pixels
        Larger files are refused before they are decoded.
    device
        Where the network runs.
    overlays
        An existing folder for these.
    """

    def __init__(
        self,
        folder: Path,
        confidence: Path | None,
        options: PredictOptions,
        *,
        max_pixels: int,
        device: torch.device,
        overlays: Path,
    ):
        self.classifier = Classifier(folder, device=device)
        self._confidence, self._likeness = (
            load_confidence(confidence) if confidence else (None, None)
        )
        self._options, self._max_pixels, self._overlays = options, max_pixels, overlays
        self._detector, self._score = _detector_of(self.classifier, folder)

    def ask(self, files: Sequence[tuple[int, str, str]]) -> _Done:
        """Read, find, answer and draw some files: number, image_id and path of each."""
        shown, known, unreadable = [], [], []
        for number, image_id, path in files:
            try:
                read, looks = self._read(path)
            except UnreadableImageError as error:
                row = {"image_id": image_id, "path": printable(path), "reason": str(error)}
                unreadable.append(row)
                continue
            height, width = read.pixels.shape[:2]
            file = _File(image_id, number, height, width, read.warning)
            if self._draws(number):
                file.small, file.scale = shrink(read.pixels)
            shown += [each._replace(file=len(known)) for each in looks]
            known.append(file)
        if not shown:
            return _Done([], unreadable, [])
        rows = self._answer(shown, known)
        tiles = [(row, each.tile) for row, each in zip(rows, shown, strict=True)]
        for file in known:
            self._draw(file)
        return _Done(rows, unreadable, tiles)

    def _read(self, path: str) -> tuple[FileImage, list[_Shown]]:
        read = read_image(path, max_pixels=self._max_pixels)
        try:
            return read, self.show(read.pixels)
        except (cv2.error, ValueError) as error:  # such as of a step, on very few pixels
            reason = f"the model's steps fail on it: {str(error).strip()}"
            raise UnreadableImageError(reason) from error

    def show(self, image: np.ndarray) -> list[_Shown]:
        """Find the cells of a photograph, and make the network's views of each."""
        cells = find_field(image, self._detector, score=self._score)
        share = self._confidence.cell_share if self._confidence else None
        is_one = self._options.framing == "whole" or (
            self._options.framing == "auto" and is_image_of_one(cells, share, image.shape)
        )
        height, width = image.shape[:2]
        whole = Region(0, 0, width, height, found=bool(cells))
        if is_one or not cells:
            largest = max(cells, key=lambda cell: cell.mask.size, default=None)
            cell = largest or _unmasked(whole)
            return [self._look(image, cell, whole, found=largest is not None)]
        aspect = self._confidence.aspect if self._confidence else width / height
        frames = [
            cut_out(cell.region, share=share or _UNKNOWN_SHARE, aspect=aspect, shape=image.shape)
            for cell in cells
        ]
        return [self._look(image, *each, found=True) for each in zip(cells, frames, strict=True)]

    def _look(self, image: np.ndarray, cell: Cell, frame: Region, *, found: bool) -> _Shown:
        """Make the network's views of a frame around a cell, or of the whole photograph."""
        is_whole = frame[:4] == (0, 0, image.shape[1], image.shape[0])
        looks = self._look_at(image, frame)
        box = self._box(looks, frame)
        if box is not None and not (found and _holds(cell.region, box)):
            if is_whole:  # this is the cell that the network sees
                cell, found = _unmasked(box), True
            elif found:  # the steps found its neighbour
                frame = cell.region
                looks = self._look_at(image, frame)
        found &= all(look.place.found for look in looks.values())
        name, first = next(iter(looks.items()))
        views = {name: look.image for name, look in looks.items()}
        seen = self._place(name, first.place, frame)
        return _Shown(0, cell, found, views, seen, draw_tile(image, cell.region))

    def _box(self, looks: Mapping[str, Frame], frame: Region) -> Region | None:
        """Give the box that the steps found, in pixels of the photograph."""
        for name, look in looks.items():
            if look.box is not None and look.box.found and look.place.found:
                return self._place(name, look.box, frame)
        return None

    def _place(self, name: str, place: Region, frame: Region) -> Region:
        """Convert a place of a view's chain, which begins with a frame, to the photograph."""
        left, top, right, bottom, _ = frame
        across = down = 1.0
        if not self.classifier.chains[name].full_resolution:
            size = self.classifier.description["packed_size"]
            across, down = (right - left) / size, (bottom - top) / size
        sides = across * place.xmin, down * place.ymin, across * place.xmax, down * place.ymax
        xmin, ymin, xmax, ymax = map(round, sides)
        return Region(left + xmin, top + ymin, left + xmax, top + ymax)

    def _look_at(self, image: np.ndarray, frame: Region) -> dict[str, Frame]:
        left, top, right, bottom, _ = frame
        return self.classifier.look(np.ascontiguousarray(image[top:bottom, left:right]))

    def judge(self, shown: list[_Shown]) -> _Judged:
        """Answer, and say how far that can be trusted."""
        views = [np.stack([each.views[name] for each in shown]) for name in self.classifier.chains]
        answers = self.classifier.answer(views)
        if self._confidence is None:
            unknown = np.full(len(shown), np.nan)
            sure = answers.probabilities.max(axis=1)
            return _Judged(views, answers.probabilities, sure, unknown, np.zeros(len(shown), bool))
        sure = self._confidence.calibrate(answers.probabilities).max(axis=1)
        distance = self._likeness.distance(answers.features) / max(self._confidence.farthest, 1e-9)
        abstains = sure < self._confidence.least_confidence
        return _Judged(views, answers.probabilities, sure, distance, abstains)

    def _answer(self, shown: list[_Shown], known: list[_File]) -> list[dict]:
        judged = self.judge(shown)
        confidence = judged.confidence
        best = judged.probabilities.argmax(axis=1)
        maps = self._explain(judged.views, best, shown, known)
        rows, counts = [], [0] * len(known)
        for number, each in enumerate(shown):
            file = known[each.file]
            counts[each.file] += 1
            flags = {
                NO_CELL: not each.found,
                UNLIKE: judged.unlikeness[number] > 1,
                ABSTAINS: judged.abstains[number],
            }
            flags = [name for name, holds in flags.items() if holds]
            answer = self.classifier.classes[best[number]]
            box = each.cell.region
            rows.append(
                {
                    "image_id": file.image_id,
                    "cell": counts[each.file],
                    "class": answer,
                    "confidence": float(confidence[number]),
                    "unlikeness": float(judged.unlikeness[number]),
                    "flags": "; ".join(flags),
                    **dict(zip(("xmin", "ymin", "xmax", "ymax"), map(int, box[:4]), strict=True)),
                    "width": file.width,
                    "height": file.height,
                    "overlay": self._name(file) if file.small is not None else "",
                    "warning": file.warning or "",
                    **{
                        f"p_{name}": float(value)
                        for name, value in zip(
                            self.classifier.classes, judged.probabilities[number], strict=True
                        )
                    },
                }
            )
            if file.small is not None:
                text = f"{answer} {confidence[number]:.0%}" + (" ?" if flags else "")
                text = text.encode("ascii", "replace").decode()
                mask = each.cell.mask if each.cell.region.found else None
                file.cells.append(Drawn(box, mask, text, not flags, maps.get(number), each.seen))
        return rows

    def _explain(
        self, views: list[np.ndarray], best: np.ndarray, shown: list[_Shown], known: list[_File]
    ) -> dict[int, np.ndarray]:
        """Map where the network looks, for the cells that are drawn."""
        drawn = [row for row, each in enumerate(shown) if known[each.file].small is not None]
        if not drawn or not self._options.grad_cam or self.classifier.maps is None:
            return {}
        chosen, labels = [view[drawn] for view in views], best[drawn].tolist()
        try:
            maps = grad_cam(
                self.classifier.network, chosen, layer=self.classifier.maps, labels=labels
            )
        except ValueError:  # the last map is not on the way to the class
            self.classifier.maps = None
            return {}
        return dict(zip(drawn, maps, strict=True))

    def _draws(self, number: int) -> bool:
        return self._options.overlays is None or number < self._options.overlays

    def _draw(self, file: _File) -> None:
        if file.small is None:
            return
        picture = draw_overlay(file.small, file.scale, file.cells)
        encoded = cv2.imencode(".jpg", picture[..., ::-1])[1]
        (self._overlays / self._name(file)).write_bytes(encoded.tobytes())

    @staticmethod
    def _name(file: _File) -> str:
        stem = "".join(sign if sign.isalnum() else "_" for sign in file.image_id)[-60:]
        return f"{file.number + 1:06d}-{stem}.jpg"


def predict_files(
    folder: Path,
    *,
    files: pd.DataFrame,
    model: Path,
    confidence: Path | None,
    options: PredictOptions,
    max_pixels: int,
    device: torch.device,
) -> None:
    """Ask a model about files and write what it answers.

    Parameters
    ----------
    folder
        Gets ``cells.parquet`` (a row per cell), ``unreadable.parquet``, ``overlays/``, and of some
        cells of each class ``tiles.npy`` with ``tiles.parquet``.
    files
        ``image_id`` and ``path``, a row each.
    model, confidence, options, max_pixels, device
        See `Asking`.
    """
    (folder / OVERLAYS).mkdir(exist_ok=True)
    asking = Asking(
        model, confidence, options, max_pixels=max_pixels, device=device, overlays=folder / OVERLAYS
    )
    numbered = list(zip(range(len(files)), files["image_id"], files["path"], strict=True))
    samples = Samples(options.tiles)
    with (
        _one_torch_thread(),
        Table(folder / f"{CELLS}.parquet", cell_schema(asking.classifier.classes)) as cells,
        Table(folder / f"{UNREADABLE}.parquet", UNREADABLE_SCHEMA) as unreadable,
    ):
        for done in map_chunks(
            asking.ask, split_rows(numbered, CHUNK), title="Predicting", workers=options.workers
        ):
            cells.write(done.rows)
            unreadable.write(done.unreadable)
            for row, tile in done.tiles:
                samples.add(row, tile)
    samples.save(folder)
    described = {
        "classes": asking.classifier.classes,
        "network": asking.classifier.description["name"],
        "explained": asking.classifier.maps is not None,  # as far as it was tried
    }
    (folder / "model.json").write_text(json.dumps(described))


def _detector_of(classifier: Classifier, folder: Path) -> tuple[Any, float]:
    """Find the detector among the steps of a network's views, and the score that it asks for."""
    for steps in portable_views(classifier.description, folder).values():
        for name, parameters in map(parse_step, steps):
            if name == _DETECTOR:
                return _detector(parameters["model"]), parameters.get("score", _DETECTOR_SCORE)
    return None, _DETECTOR_SCORE


def _holds(cell: Region, box: Region) -> bool:
    """Whether the middle of a box lies in a cell's."""
    x, y = (box.xmin + box.xmax) / 2, (box.ymin + box.ymax) / 2
    return cell.xmin <= x < cell.xmax and cell.ymin <= y < cell.ymax


def _unmasked(box: Region) -> Cell:
    return Cell(box, np.zeros((box.ymax - box.ymin, box.xmax - box.xmin), np.uint8))


@contextmanager
def _one_torch_thread():
    """Let each of our threads compute alone: torch's own would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
