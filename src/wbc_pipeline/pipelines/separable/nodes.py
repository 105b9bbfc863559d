"""The separable paper's own tables and figures."""

from __future__ import annotations

from typing import Any

import lazy_loader as lazy
import numpy as np

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.pipelines.experiment.options import Variants
from wbc_pipeline.pipelines.reporting.options import (
    PaperOptions,
    PrintedOptions,
    Published,
    ScoreOptions,
)
from wbc_pipeline.pipelines.separable.options import ShownOptions
from wbc_pipeline.pipelines.splitting.options import UNUSED
from wbc_pipeline.training.options import OUTSIDE

pd = lazy.load("pandas")

NETWORK = "mixed"  # the variant of Table 1
STAGE_SIZE = 160  # pixels of a picture in the figure of the stages


def describe_layers(
    variants: Variants, layers: dict[str, int], paper: PaperOptions, views: dict[str, ImageArray]
) -> dict[str, pd.DataFrame]:
    """List the layers of the paper's network beside the numbers of parameters that it prints."""
    from wbc_pipeline.evaluation.report.described import describe
    from wbc_pipeline.models import build_network, layer_table

    size = views["image"].pixels.shape[1]
    variant = variants.root[NETWORK]
    arguments = {"classes": paper.classes, "image_size": size, **variant.arguments}
    found = layer_table.describe_layers(
        build_network(variant.network, arguments, seed=0), image_size=size
    )
    table = pd.DataFrame(
        {
            "layer": [layer.name for layer in found],
            "output": [" x ".join(map(str, layer.shape)) for layer in found],
            "published": pd.array([layers.get(layer.name) for layer in found], dtype="Int64"),
            "ours": [layer.parameters for layer in found],
        }
    )
    caption = "The network, layer by layer; batch normalisation counts its moving statistics."
    return {"layers": describe(table, "The network", caption)}


def examine_sources(
    *,
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    predictions: pd.DataFrame,
    views: dict[str, ImageArray],
    published: Published,
    printed: PrintedOptions,
    shown: ShownOptions,
    score: ScoreOptions,
    dataset: str,
) -> dict[str, Any]:
    """Ask what the accuracy rests on: how many cells, which classes, which single cells."""
    from wbc_pipeline.evaluation.figures import sources as figures
    from wbc_pipeline.evaluation.scores import by_source
    from wbc_pipeline.evaluation.scores.metrics import tested

    test = tested(predictions)
    # Nothing leaks from images that a search leaves alone, nor from cells that are tested here and
    # stand outside as well: no fold that tests them learns from those.
    dealt = splits.loc[splits["part"] != OUTSIDE, "image_id"]
    protocols = by_source.protocol_summary(
        test,
        manifest[manifest["image_id"].isin(dealt)],
        unused=splits[splits["part"] == UNUSED],
        level=score.level,
        resamples=score.resamples,
    )
    failing = by_source.accuracy_by_source(test)
    worst = _worst_sources(failing, shown)
    tiles = _tiles(manifest, views["image"], worst["source_id"], shown.tiles)
    return {
        "protocols": protocols,
        "accuracy_by_protocol": figures.accuracy_by_protocol(protocols, published, dataset=dataset),
        "recalls": by_source.recalls(test, printed.recalls, level=score.level),
        "roc_curves": figures.roc_curves(test, dataset=dataset),
        "by_source": failing,
        "hardest_sources": figures.hardest_sources(worst, tiles, dataset=dataset),
    }


def draw_stages(
    manifest: pd.DataFrame, views: dict[str, ImageArray], dataset: str
) -> dict[str, Any]:
    """Draw one image of each class after each step of the paper's preprocessing.

    Where a step finds a region by limits of colour, what is within them is drawn alone, then the
    box around it; the crop is what the next step begins with.
    """
    from wbc_pipeline.evaluation.figures.images import gallery
    from wbc_pipeline.evaluation.report.described import describe
    from wbc_pipeline.imaging.chain import build_chain
    from wbc_pipeline.imaging.contact_sheet import outline
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.imaging.reading import read_image
    from wbc_pipeline.imaging.steps import resize

    steps = views["image"].steps
    examples = accepted(manifest).dropna(subset="label").groupby("label").head(1)
    examples = examples.sort_values("label")
    files = [read_image(path).pixels for path in examples["path"]]
    stages = {"as it came": files}
    for number, step in enumerate(steps[1:], start=2):
        frames = [build_chain(steps[:number]).run(file) for file in files]
        ((name, parameters),) = step.items()
        if "nucleus" in parameters:
            limits = dict(zip(("lower", "upper"), parameters["nucleus"], strict=True))
            stages["violet"] = [_isolated(frame.image, **limits) for frame in frames]
        stages[name.replace("_", " ")] = [
            frame.image if frame.region is None else outline(frame.image, frame.region)
            for frame in frames
        ]
    pictures = {
        name: np.stack([resize(picture, size=STAGE_SIZE) for picture in row])
        for name, row in stages.items()
    }
    figure = gallery(pictures, examples["label"].tolist(), dataset=dataset)
    caption = "An image of each class after each step; where a step finds a region, its outline."
    return {"preprocessing_stages": describe(figure, "The steps of the preprocessing", caption)}


def _isolated(image: np.ndarray, **limits: list[int]) -> np.ndarray:
    import cv2

    from wbc_pipeline.imaging.segment import violet_mask_hsv

    return cv2.copyTo(image, violet_mask_hsv(image, **limits))


def _worst_sources(by_source: pd.DataFrame, shown: ShownOptions) -> pd.DataFrame:
    chosen = by_source
    for column, value in (("variant", shown.variant), ("protocol", shown.protocol)):
        first = chosen[column].iloc[0]
        chosen = chosen[chosen[column] == (value if value in set(chosen[column]) else first)]
    return chosen.nsmallest(shown.sources, "accuracy")


def _tiles(
    manifest: pd.DataFrame, image: ImageArray, sources: pd.Series, count: int
) -> dict[str, list[np.ndarray]]:
    from wbc_pipeline.imaging.packing import accepted

    groups = accepted(manifest)["source_group"]
    return {
        source: [image.pixels[row] for row in groups.index[groups == source][:count]]
        for source in sources
    }
