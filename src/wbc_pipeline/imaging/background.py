"""Numbers that describe what is not the cell: the frame of an image, or all of its surroundings.

If a class can be guessed from these, a network need not look at the cell at all. So that a guess is
one from the surroundings, the cell is left out with a wide margin, also from the frame that it may
reach into, and no number depends on how large a part is left out.

The margin was chosen on ``leukemia5``, where basophils, erythroblasts and monocytes come from one
laboratory. From the background around masks of `canny_mask`, 71 % of these are told apart with no
further margin, 68 % with 6 pixels of 128, 66 % with 10, 62 % with 20; with the mask of another cell
left out as well, 69 %, 66 %, 65 % and 60 %. So a wider margin takes away background rather than
cell, and what is left is not the shape of the mask. From the border it is 60 %, with the cells
that reach into it or without. On ``blood_cells``, where one cell in two reaches into the border,
it is 32 % of four classes both ways.
"""

import cv2
import numpy as np
import pandas as pd

from wbc_pipeline.imaging.arrays import forget_pages, map_chunks, split_rows
from wbc_pipeline.imaging.edges import canny_mask
from wbc_pipeline.imaging.masks import region_mask
from wbc_pipeline.imaging.measurements import black_border

_CHANNELS = ("red", "green", "blue", "lightness", "green_red", "blue_yellow")
_QUANTILES = (5, 25, 50, 75, 95)  # per cent
_DETAILS = ("fine_lightness", "fine_green_red", "fine_blue_yellow", "coarse_lightness")

#: Columns of the features: see :func:`background_features`.
FEATURES = (
    "black",
    *(f"{channel}_mean" for channel in _CHANNELS),
    *(f"{channel}_sd" for channel in _CHANNELS),
    *(f"{channel}_q{quantile:02d}" for channel in _CHANNELS for quantile in _QUANTILES),
    *(f"{detail}_sd" for detail in _DETAILS),
    *(f"{detail}_noise" for detail in _DETAILS),
    "slope_x",
    "slope_y",
)

_CELL_MARGIN = 10 / 128  # of the side
_BLACK_MARGIN = 4 / 128
_LEAST = 1 / 256  # of the pixels; fewer say nothing
_BLOCK = 64  # images per task of a thread


def border_features(
    images: np.ndarray, masks: np.ndarray | None = None, *, width: float = 0.08
) -> pd.DataFrame:
    """Describe the outer frame of each image, as far as no cell is in it.

    Parameters
    ----------
    images, masks
        See :func:`background_features`.
    width
        Of the frame, as a share of the side, above 0 and below 0.5.

    Returns
    -------
    As :func:`background_features`; ``black`` is a share of the frame.

    Raises
    ------
    ValueError
        If the frame has no width, or leaves no inside.
    """
    side = images.shape[1]
    pixels = round(width * side)
    if not 0 < pixels < side / 2:
        raise ValueError(
            f"A frame of {width} of {side} pixels is {pixels} wide: it must have a width and leave "
            "an inside. Choose a width between 0 and 0.5, such as 0.08."
        )
    frame = np.full((side, side), 255, np.uint8)
    frame[pixels:-pixels, pixels:-pixels] = 0
    return _describe_all(images, masks, frame)


def background_features(images: np.ndarray, masks: np.ndarray | None = None) -> pd.DataFrame:
    """Describe everything outside the cell of each image.

    Parameters
    ----------
    images
        RGB, uint8, ``[N, S, S, 3]``; may be memory-mapped.
    masks
        uint8, ``[N, S, S]``, see `masks.read_labelled_mask`. Where there is none, or no cell in it,
        `canny_mask` finds the cell.

    Returns
    -------
    DataFrame
        float32, a row per image, in order, numbered from 0, with the columns ``FEATURES``:

        - ``black``: share of the whole image in `black_border`, 0 to 1.
        - ``<channel>_mean``, ``_sd``, ``_q05`` … ``_q95`` (quantiles, in per cent) of red, green
          and blue and of CIELAB's L*, a* and b* (``lightness``, ``green_red``, ``blue_yellow``, as
          OpenCV's 8 bits), 0 to 255.
        - ``fine_<channel>_sd``, ``_noise``: SD and median of the absolute value of what a Gaussian
          blur of 1/128 of the side takes away; ``coarse``: of 2/128. The SD is texture and edges,
          the median noise and the traces of compression.
        - ``slope_x``, ``slope_y``: mean difference in lightness between neighbours. One is less
          where an image was stretched.

        Measured are the pixels that are further than 10/128 of the side from the cell and 4/128
        from the black border. A row is NaN where next to none is left, such as where `canny_mask`
        finds no cell.

    Notes
    -----
    A second white cell in the image counts as background. So does the density of red cells, which
    tells thick smears from thin ones and the blood of patients with few.

    Examples
    --------
    >>> image = np.full((128, 128, 3), 230, np.uint8)
    >>> image[40:90, 40:90] = 90, 40, 150
    >>> background_features(image[None])[["red_mean", "red_sd", "black"]].to_numpy().tolist()
    [[230.0, 0.0, 0.0]]
    """
    everywhere = np.full(images.shape[1:3], 255, np.uint8)
    return _describe_all(images, masks, everywhere)


def _describe_all(images: np.ndarray, masks: np.ndarray | None, part: np.ndarray) -> pd.DataFrame:
    def describe_rows(rows: range) -> list[list[float]]:
        return [_describe(images[i], None if masks is None else masks[i], part) for i in rows]

    table: list[list[float]] = []
    chunks = split_rows(range(len(images)), _BLOCK)
    for described in map_chunks(describe_rows, chunks, title="Describing backgrounds"):
        table += described
        forget_pages(images)
    return pd.DataFrame(table, columns=list(FEATURES), dtype=np.float32)


def _describe(image: np.ndarray, mask: np.ndarray | None, part: np.ndarray) -> list[float]:
    cell = None if mask is None else region_mask(np.ascontiguousarray(mask), "cell")
    if cell is None or not cell.any():
        cell = canny_mask(image)
    border = black_border(image)
    measured = part & _away_from(cell, _CELL_MARGIN) & _away_from(border, _BLACK_MARGIN)
    if cv2.countNonZero(measured) < _LEAST * measured.size:
        return [np.nan] * len(FEATURES)
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lightness = lab[..., 0]
    return [
        cv2.countNonZero(border & part) / cv2.countNonZero(part),
        *_colours(image, lab, measured),
        *_details(lab, measured),
        cv2.mean(cv2.absdiff(lightness[:, 1:], lightness[:, :-1]), measured[:, 1:])[0],
        cv2.mean(cv2.absdiff(lightness[1:], lightness[:-1]), measured[1:])[0],
    ]


def _away_from(mask: np.ndarray, margin: float) -> np.ndarray:
    width = 2 * round(margin * len(mask)) + 1
    return cv2.erode(cv2.compare(mask, 0, cv2.CMP_EQ), np.ones((width, width)))


def _colours(image: np.ndarray, lab: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Means, SDs and quantiles of the 6 channels, from their histograms."""
    levels = np.arange(256)
    counts = np.stack(
        [
            cv2.calcHist([planes], [channel], measured, [256], [0, 256]).ravel()
            for planes in (image, lab)
            for channel in range(3)
        ]
    )
    share = counts / counts.sum(axis=1, keepdims=True)  # [6, 256]
    means = share @ levels
    deviations = np.sqrt((share * (levels - means[:, None]) ** 2).sum(axis=1))
    up_to = share.cumsum(axis=1)[:, None, :]
    quantiles = (up_to < np.array(_QUANTILES)[:, None] / 100).sum(axis=2)  # [6, 5]
    return np.concatenate([means, deviations, quantiles.ravel()])


def _details(lab: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """SDs, then medians of the absolute value, of what a blur takes away."""
    pixel, lab = len(lab) / 128, lab.astype(np.float32)
    fine = lab - cv2.GaussianBlur(lab, (0, 0), pixel)
    coarse = lab[..., 0] - cv2.GaussianBlur(lab[..., 0], (0, 0), 2 * pixel)
    details = np.dstack([fine, coarse])[measured > 0]  # [n, 4]
    return np.concatenate([details.std(axis=0), np.median(np.abs(details), axis=0)])
