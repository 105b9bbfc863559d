"""The blend paper's own figures."""

from typing import Any

import numpy as np
import pandas as pd

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result

# The protocol whose networks are shown, if it was run.
SHOWN_PROTOCOL = "source"


def draw_paths(paths: pd.DataFrame, runs: pd.DataFrame, dataset: str) -> tuple[Any, Any]:
    """Draw alpha over training, and what became of the trained Canny.

    Returns
    -------
    parameter_paths, canny_instability
    """
    from wbc_pipeline.evaluation import figures

    return (
        figures.parameter_paths(paths, dataset=dataset, variants=runs["variant"].unique()),
        figures.canny_instability(paths, dataset=dataset),
    )


def draw_gallery(
    *,
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    dataset: str,
    trainings: pd.DataFrame,
    image: ImageArray,
    foreground: ImageArray,
    **runs: dict[str, Result],
) -> Any:
    """Draw a test image of each class, its foreground, and its blends before and after training.

    Parameters
    ----------
    manifest, splits
        See ``design``.
    dataset
        Name of the data set.
    trainings
        A row per training of this command.
    image, foreground
        The two views.
    runs
        By variant with a blend, the finished trainings by run name.
    """
    from wbc_pipeline.evaluation.figures import gallery
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.models import build_network, load_network
    from wbc_pipeline.training.blends import blend_images

    images = accepted(manifest)
    protocols = splits["protocol"].unique()
    protocol = SHOWN_PROTOCOL if SHOWN_PROTOCOL in protocols else protocols[0]
    shown = splits[(splits["protocol"] == protocol) & (splits["seed"] == 0) & (splits["fold"] == 0)]
    tested = shown.loc[shown["part"] == "test", "image_id"]
    examples = images[images["image_id"].isin(tested)].groupby("label").head(1).sort_values("label")
    rows = examples.index.to_numpy()
    views = {"image": image.pixels[rows], "foreground": foreground.pixels[rows]}
    pictures: dict[str, np.ndarray] = dict(views)
    for variant, results in runs.items():
        if variant not in set(trainings["variant"]):
            continue
        trained, description = load_network(results[f"{protocol}-0"].folder)
        fresh = build_network(description["name"], description["arguments"], seed=0)
        pictures[f"{variant}\nbefore"] = blend_images(fresh, views)
        pictures[f"{variant}\nafter"] = blend_images(trained, views)
    return gallery(pictures, examples["label"].tolist(), dataset=dataset)
