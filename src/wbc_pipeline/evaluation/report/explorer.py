"""A confusion matrix whose cells show the images behind them."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from PIL import Image

from wbc_pipeline.evaluation.report.pictures import as_webp
from wbc_pipeline.evaluation.scores.per_class import confusion_counts

MOST_IMAGES = 60  # on a page
SIDE = 96  # pixels of a thumbnail
RUN = ["variant", "protocol"]
CELL = [*RUN, "label", "predicted"]
HEADING = "Confusion"
CAPTION = (
    "Images of each class (row) that were given each answer (column), pooled over seeds; shaded by "
    "the share of the class. Click a cell to see images behind it, those of the surest answers."
)


@dataclass(frozen=True)
class Explorer:
    """What the page's script draws, as JSON can say it; see `explore_confusion`."""

    content: Mapping[str, object] = field(repr=False)
    heading: str = HEADING
    caption: str = CAPTION


def explore_confusion(
    predictions: pd.DataFrame, pixels: np.ndarray, rows: Mapping[str, int]
) -> Explorer:
    """Count answers, and choose the images that stand behind as many cells as possible.

    Parameters
    ----------
    predictions
        One row per test image and run; see ``design``.
    pixels
        uint8 [N, H, W, 3], RGB.
    rows
        Row of ``pixels`` by ``image_id``; images without one are counted and not shown.

    Returns
    -------
    Explorer
        ``classes``; ``images`` (`MOST_IMAGES` at most: name, source, class, WebP in base64);
        ``runs``, each with its ``counts`` [label, predicted] and ``examples``: row, column,
        place in ``images``, confidence.
    """
    clean = predictions[predictions["condition"] == "clean"]
    counts = confusion_counts(clean)
    classes = list(dict.fromkeys(counts["label"]))
    answers = _read_answers(clean)
    answers = answers[answers["image_id"].isin(rows.keys())]
    chosen = _choose(answers)
    places = {name: place for place, name in enumerate(chosen)}
    shown = answers[answers["image_id"].isin(places)].drop_duplicates([*CELL, "image_id"])
    about = answers.drop_duplicates("image_id").set_index("image_id")
    return Explorer(
        {
            "classes": classes,
            "images": [
                {
                    "name": name,
                    "source": str(about.loc[name, "source_id"]),
                    "label": about.loc[name, "label"],
                    "webp": _thumbnail(pixels[rows[name]]),
                }
                for name in chosen
            ],
            "runs": [
                {
                    "variant": variant,
                    "protocol": protocol,
                    "counts": _matrix(table, classes),
                    "examples": [
                        [
                            classes.index(row.label),
                            classes.index(row.predicted),
                            places[row.image_id],
                            round(float(row.confidence), 3),
                        ]
                        for row in shown[
                            (shown["variant"] == variant) & (shown["protocol"] == protocol)
                        ].itertuples()
                    ],
                }
                for (variant, protocol), table in counts.groupby(RUN, sort=False, observed=True)
            ],
        }
    )


def _read_answers(predictions: pd.DataFrame) -> pd.DataFrame:
    """Give each image's answer and how sure it is, the surest first."""
    columns = [name for name in predictions if name.startswith("p_")]
    probabilities = predictions[columns].to_numpy(float)
    names = np.array([name.removeprefix("p_") for name in columns])
    answers = predictions[[*RUN, "label", "image_id", "source_id"]].assign(
        predicted=names[probabilities.argmax(axis=1)], confidence=probabilities.max(axis=1)
    )
    return answers.sort_values("confidence", ascending=False, kind="stable")


def _choose(answers: pd.DataFrame) -> list[str]:
    """Choose images: the surest mistake of each cell, then their second, …, then right answers."""
    is_wrong = answers["label"] != answers["predicted"]
    turn = answers.groupby(CELL, sort=False, observed=True).cumcount()
    order = np.lexsort([-answers["confidence"], turn, ~is_wrong])
    # one right answer for each class is worth as much as a mistake
    one = answers[~is_wrong].drop_duplicates("label")["image_id"]
    ordered = [*one, *answers["image_id"].to_numpy()[order]]
    return list(dict.fromkeys(ordered))[:MOST_IMAGES]


def _matrix(counts: pd.DataFrame, classes: list[str]) -> list[list[int]]:
    table = counts.groupby(["label", "predicted"], sort=False)["images"].sum().unstack()
    return table.reindex(index=classes, columns=classes).fillna(0).astype(int).to_numpy().tolist()


def _thumbnail(pixels: np.ndarray) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    return base64.b64encode(as_webp(image)).decode()
