"""The blend paper's own figures."""

from __future__ import annotations

from typing import Any

import lazy_loader as lazy

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result
from wbc_pipeline.keys import run_name

pd = lazy.load("pandas")

GALLERY_CAPTION = (
    "One image per class: as it is, its segmented foreground, and what the blend shows to the "
    "network before and after training."
)
SHOWN_PROTOCOL = "source"  # whose networks are shown, if it was run


def draw_paths(paths: pd.DataFrame, runs: pd.DataFrame, dataset: str) -> dict[str, Any]:
    """Draw alpha over training, and what became of the trained Canny."""
    from wbc_pipeline.evaluation.figures import training

    return {
        "parameter_paths": training.parameter_paths(
            paths, dataset=dataset, variants=runs["variant"].unique()
        ),
        "canny_instability": training.canny_instability(paths, dataset=dataset),
    }


def draw_gallery(
    *,
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    dataset: str,
    views: dict[str, ImageArray],
    trainings: dict[str, Result],
    runs: pd.DataFrame,
) -> dict[str, Any]:
    """Draw a test image of each class, its foreground, and its blends before and after training.

    Parameters
    ----------
    manifest, splits
        See ``design``.
    dataset
        Name of the data set.
    views
        By name, among them ``image`` and ``foreground``.
    trainings
        Finished, by variant and run.
    runs
        A row per training of this command.
    """
    from wbc_pipeline.evaluation.figures.images import gallery
    from wbc_pipeline.evaluation.report.described import describe
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
    pictures = {name: views[name].pixels[rows] for name in ("image", "foreground")}
    seen = dict(pictures)
    for variant in runs["variant"].unique():
        trained, description = load_network(
            trainings[f"{variant}/{run_name(protocol, 0, 0)}"].folder
        )
        if hasattr(trained, "blend"):
            fresh = build_network(description["name"], description["arguments"], seed=0)
            pictures[f"{variant}\nbefore"] = blend_images(fresh, seen)
            pictures[f"{variant}\nafter"] = blend_images(trained, seen)
    figure = gallery(pictures, examples["label"].tolist(), dataset=dataset)
    return {"gallery": describe(figure, "What the network sees", GALLERY_CAPTION)}
