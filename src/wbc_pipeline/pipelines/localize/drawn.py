"""Images that are drawn from annotated ones: scenes to learn from, and fields to be tested on."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from wbc_pipeline.datasets.images import SHEET_FILE, image_files
from wbc_pipeline.datasets.results import Result, Task
from wbc_pipeline.imaging.roi import SIDES
from wbc_pipeline.imaging.views import FileImages
from wbc_pipeline.keys import Key, code_digest, digest
from wbc_pipeline.pipelines.localize.options import FieldOptions, SceneOptions

FIELDS, SCENE_BOXES, FIELD_BOXES = "fields", "boxes", "boxes"  # tables of a result
_SHEET = 8  # scenes a side of a sheet
_QUALITY = [1, 95]  # of a field's file, as cv2.IMWRITE_JPEG_QUALITY
_LEVELS = '{"background": 0, "cell": 255}'
_KNOWN = ["dataset", "domain", "source_id", "source_group"]


def open_files(rows: pd.DataFrame, max_pixels: int) -> FileImages:
    """Open the files of some rows of a manifest, with their masks.

    Parameters
    ----------
    rows
        Of a manifest, ``ok``.
    max_pixels
        See `FileImages`.
    """
    return FileImages(
        rows["path"],
        max_pixels=max_pixels,
        mask_paths=rows["mask_path"],
        mask_levels=rows["mask_levels"],
        orientations=rows["orientation"],
        annotated=rows["annotated"],
        sha256=rows["sha256"],
    )


def scenes_task(
    images: pd.DataFrame,
    truth: pd.DataFrame,
    options: SceneOptions,
    *,
    size: int,
    files: str,
    max_pixels: int,
    seed: int,
) -> Task:
    """Describe the scenes of all images that have a white cell.

    Parameters
    ----------
    images
        The manifest's ``ok`` rows, numbered from 0.
    truth
        Boxes of white cells in pixels of the files.
    options
        What is in a scene.
    size
        Side of the frame.
    files
        Digest of the files and their masks.
    max_pixels
        See `FileImages`.
    seed
        A scene depends on this, its image and its number alone.

    Returns
    -------
    Task
        Makes ``images.npy``, the table ``boxes`` (``row`` of the array, and the sides in pixels of
        the frame), the table ``scenes`` (``image_id`` of each row) and ``contact_sheet.png``.
    """
    from wbc_pipeline.imaging.scenes import draw_scene

    shown = images[images["image_id"].isin(truth["image_id"])]

    def compute(folder: Path) -> None:
        import cv2

        from wbc_pipeline.imaging.arrays import map_threads

        inputs, boxes = open_files(shown, max_pixels), _boxes_by_image(truth)

        def draw(row: int) -> list:
            image, sides = inputs[row], boxes[shown["image_id"].iloc[row]]
            mask = inputs.mask(row, image.shape)
            known = {"size": size, "fill": options.fill, "squeeze": options.squeeze}
            seeds = [(seed, int(shown.index[row]), number) for number in range(options.count)]
            return [
                draw_scene(
                    image,
                    mask,
                    sides,
                    np.random.default_rng(drawn),
                    **known,
                    options=options.recompose,
                )
                for drawn in seeds
            ]

        drawn = map_threads(draw, range(len(shown)), title="Drawing scenes")
        scenes = [scene for of_image in drawn for scene in of_image]
        pixels = np.stack([scene.image for scene in scenes])
        np.save(image_files(folder)[0], pixels)
        counts = [len(scene.boxes) for scene in scenes]
        table = pd.DataFrame(np.concatenate([scene.boxes for scene in scenes]), columns=SIDES)
        table.insert(0, "row", np.repeat(np.arange(len(scenes)), counts))
        table.to_parquet(folder / f"{SCENE_BOXES}.parquet", index=False)
        names = pd.DataFrame({"image_id": np.repeat(shown["image_id"], options.count)})
        names.to_parquet(folder / "scenes.parquet", index=False)
        places = np.linspace(0, len(pixels) - 1, _SHEET**2).astype(int)
        sheet = pixels[places].reshape(_SHEET, _SHEET, size, size, 3).swapaxes(1, 2)
        sheet = sheet.reshape(_SHEET * size, _SHEET * size, 3)
        cv2.imwrite(str(folder / SHEET_FILE), sheet[..., ::-1])

    key = Key(
        params={**options.model_dump(exclude={"plain"}), "size": size, "seed": seed},
        data={"images": files, "boxes": digest(truth.to_numpy().tolist())},
        code=code_digest(draw_scene, FileImages),
    )
    return Task(key, compute)


def fields_task(
    images: pd.DataFrame,
    truth: pd.DataFrame,
    options: FieldOptions,
    *,
    files: str,
    max_pixels: int,
) -> Task:
    """Describe fields, one of each of some images; see ``imaging.scenes.draw_field``.

    Parameters
    ----------
    images
        Rows of the manifest that are tested, of which the first few of each domain are drawn.
    truth, options, files, max_pixels
        As in `scenes_task`.

    Returns
    -------
    Task
        Makes JPEG files, masks where they are known, and the tables ``fields`` (``image_id``,
        ``of`` which image it is, and what a manifest knows) and ``boxes``.
    """
    from wbc_pipeline.imaging.scenes import draw_field

    chosen = _spread(images[images["image_id"].isin(truth["image_id"])], options.images)

    def compute(folder: Path) -> None:
        fields, boxes = [], []
        for row, sides in _draw_fields(folder, chosen, truth, options, max_pixels):
            fields.append(row)
            boxes.append(pd.DataFrame(sides, columns=SIDES).assign(image_id=row["image_id"]))
        names = ["image_id", "of", "file", "mask_file", "width", "height", "sha256", *_KNOWN]
        table = pd.DataFrame(fields, columns=names)
        table.to_parquet(folder / f"{FIELDS}.parquet", index=False)
        empty = pd.DataFrame(columns=[*SIDES, "image_id"])
        pd.concat(boxes or [empty]).to_parquet(folder / f"{FIELD_BOXES}.parquet", index=False)

    key = Key(
        params=options.model_dump(),
        data={
            "images": files,
            "chosen": digest(chosen["image_id"].tolist()),
            "boxes": digest(truth.to_numpy().tolist()),
        },
        code=code_digest(draw_field, FileImages),
    )
    return Task(key, compute)


def read_fields(result: Result) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give the fields as rows of a manifest, with ``of``, and their boxes."""
    rows = result.table(FIELDS)
    rows["path"] = [str(result.folder / file) for file in rows.pop("file")]
    masks = rows.pop("mask_file").astype(object)
    rows["mask_path"] = [
        str(result.folder / file) if isinstance(file, str) else None for file in masks
    ]
    missing = dict.fromkeys(("orientation", "annotated"))
    return rows.assign(mask_levels=_LEVELS, **missing), result.table(FIELD_BOXES)


def _draw_fields(
    folder: Path,
    chosen: pd.DataFrame,
    truth: pd.DataFrame,
    options: FieldOptions,
    max_pixels: int,
) -> Iterator[tuple[dict, np.ndarray]]:
    import hashlib

    import cv2

    from wbc_pipeline.imaging.masks import UNKNOWN, region_mask
    from wbc_pipeline.imaging.scenes import draw_field

    inputs, boxes = open_files(chosen, max_pixels), _boxes_by_image(truth)
    size = (options.width, options.height)
    for place, image in enumerate(chosen.to_dict("records")):
        pixels = inputs[place]
        parts = inputs.mask(place, pixels.shape)
        mask = None if (parts == UNKNOWN).all() else region_mask(parts, "cell")
        rng = np.random.default_rng(place)
        sides = boxes[image["image_id"]]
        field, sides, mask = draw_field(pixels, mask, sides, rng, size=size, cell=options.cell)
        name = f"{place:04d}"
        cv2.imwrite(str(folder / f"{name}.jpg"), field[..., ::-1], _QUALITY)
        if mask is not None:
            cv2.imwrite(str(folder / f"{name}-mask.png"), mask)
        digits = hashlib.sha256((folder / f"{name}.jpg").read_bytes()).hexdigest()
        row = {
            "image_id": f"field of {image['image_id']}",
            "of": image["image_id"],
            "file": f"{name}.jpg",
            "mask_file": None if mask is None else f"{name}-mask.png",
            "width": options.width,
            "height": options.height,
            "sha256": digits,
            **{column: image[column] for column in _KNOWN},
        }
        yield row, sides


def _boxes_by_image(truth: pd.DataFrame) -> dict[str, np.ndarray]:
    return {name: table[SIDES].to_numpy(float) for name, table in truth.groupby("image_id")}


def _spread(images: pd.DataFrame, each: int) -> pd.DataFrame:
    """Take images of each domain, evenly from all of it."""
    kept = [
        table.iloc[np.unique(np.linspace(0, len(table) - 1, min(each, len(table))).astype(int))]
        for _, table in images.groupby(["dataset", "domain"], dropna=False, sort=True)
    ]
    return pd.concat(kept) if each and kept else images[:0]
