"""Annotated boxes: whether they lie in their image, and turned as it was turned."""

from collections.abc import Sequence

import pandas as pd

from wbc_pipeline.imaging.orientation import annotated_side, turn_box
from wbc_pipeline.imaging.refusals import UnreadableImageError

BOX_COLUMNS = ("image_id", "name", "xmin", "ymin", "xmax", "ymax")
_SIDES = list(BOX_COLUMNS[2:])
_DECIMALS = 2  # decimals of a pixel: files of shares have six of the side


def upright_box(
    box: Sequence[float],
    *,
    shape: Sequence[int],
    orientation: int,
    annotated: str | None,
    is_share: bool = False,
) -> tuple[float, float, float, float]:
    """Check a box, and turn it as its image was turned.

    Parameters
    ----------
    box
        ``[xmin, ymin, xmax, ymax]`` in pixels, or in shares of the image's sides.
    shape
        ``(H, W)`` of the upright image.
    orientation, annotated
        See `orientation.annotated_side`.
    is_share
        Whether the box is in shares, 0 to 1.

    Returns
    -------
    The box in pixels of the upright image.

    Raises
    ------
    UnreadableImageError
        If it lies outside its image, has no area, is in shares where pixels are expected, belongs
        to an image of another size, or nothing tells whether it was drawn before the image's turn.
    """
    side = annotated_side(annotated, orientation, shape, "box")
    height, width = shape[:2]
    told = f"[{', '.join(f'{number:g}' for number in box)}]"
    if not is_share and max(box) <= 1:
        raise UnreadableImageError(f"box between 0 and 1, where pixels are expected: {told}")
    columns, rows = (width, height) if is_share else (1, 1)
    if side == "file":
        box = turn_box(box, orientation, (1, 1) if is_share else shape)
    scaled = (number * scale for number, scale in zip(box, (columns, rows) * 2, strict=True))
    xmin, ymin, xmax, ymax = (round(number, _DECIMALS) + 0.0 for number in scaled)  # no -0.0
    if not (xmin >= 0 and ymin >= 0 and xmax <= width and ymax <= height):
        raise UnreadableImageError(f"box outside the image: {told} in {width} x {height}")
    if not (xmin < xmax and ymin < ymax):
        raise UnreadableImageError(f"box without area: {told}")
    return xmin, ymin, xmax, ymax


def place_boxes(boxes: pd.DataFrame, manifest: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put annotated boxes into their upright images, and separate those that do not fit.

    Parameters
    ----------
    boxes
        ``BOX_COLUMNS``, a row per box; in pixels of the file, or in shares of its sides where the
        optional column ``is_share`` says so. A row with an optional ``problem`` is no box but an
        annotation that cannot be used, and ``annotation`` its file.
    manifest
        Of `packing.build_manifest`; boxes of images that were refused are left out.

    Returns
    -------
    boxes
        ``BOX_COLUMNS``, pixels of the upright image, to a hundredth.
    rejects
        A row per box that does not fit, see `upright_box`: ``image_id``, ``path`` and ``status``,
        the reason; and per annotation that cannot be used.
    """
    boxes = boxes.reindex(columns=[*BOX_COLUMNS, "is_share", "problem", "annotation"])
    unusable = boxes["problem"].notna()
    rejects = boxes[unusable].rename(columns={"annotation": "path", "problem": "status"})
    placed, rejects = [], rejects[["image_id", "path", "status"]].to_numpy(object).tolist()
    images = manifest.loc[
        manifest["status"] == "ok",
        ["image_id", "path", "height", "width", "orientation", "annotated"],
    ]
    for row in boxes[~unusable].merge(images, on="image_id").itertuples(index=False):
        try:
            sides = upright_box(
                (row.xmin, row.ymin, row.xmax, row.ymax),
                shape=(row.height, row.width),
                orientation=row.orientation,
                annotated=None if pd.isna(row.annotated) else row.annotated,
                is_share=row.is_share is True,
            )
        except UnreadableImageError as reason:
            rejects.append((row.image_id, row.path, f"{reason}; it is around {row.name}"))
        else:
            placed.append((row.image_id, row.name, *sides))
    table = pd.DataFrame(placed, columns=list(BOX_COLUMNS))
    table = table.astype({"image_id": "str", "name": "str"} | dict.fromkeys(_SIDES, float))
    return table, pd.DataFrame(rejects, columns=["image_id", "path", "status"], dtype="str")
