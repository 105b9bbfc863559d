"""The separable paper's own tables and figures."""

from typing import Any

import numpy as np
import pandas as pd

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.pipelines.experiment.options import VariantOptions
from wbc_pipeline.pipelines.reporting.options import PaperOptions, Published, ScoreOptions
from wbc_pipeline.pipelines.separable.options import ShownOptions

STAGE_SIZE = 160  # pixels of a picture in the figure of the stages


def describe_layers(
    variant: VariantOptions, published: dict[str, int], paper: PaperOptions, image: ImageArray
) -> pd.DataFrame:
    """List the layers of the paper's network beside the numbers of parameters that it prints.

    Returns
    -------
    DataFrame
        ``layer``, ``output`` (channels, height, width), ``published`` and ``ours``.
    """
    from wbc_pipeline.models import build_network, layer_table

    size = image.pixels.shape[1]
    arguments = {"classes": paper.classes, "image_size": size, **variant.arguments}
    layers = layer_table.describe_layers(
        build_network(variant.network, arguments, seed=0), image_size=size
    )
    return pd.DataFrame(
        {
            "layer": [layer.name for layer in layers],
            "output": [" x ".join(map(str, layer.shape)) for layer in layers],
            "published": pd.array([published.get(layer.name) for layer in layers], dtype="Int64"),
            "ours": [layer.parameters for layer in layers],
        }
    )


def list_literature(metrics: pd.DataFrame, literature: list[dict[str, Any]]) -> pd.DataFrame:
    """Put what other methods report on the same images beside ours, with what their split was."""
    from wbc_pipeline.evaluation.comparison import published_values

    others = pd.DataFrame(literature)
    others["accuracy"] = [published_values(printed)[0] for printed in others["accuracy"]]
    clean = metrics[metrics["condition"] == "clean"]
    ours = clean.groupby(["variant", "protocol"], sort=False)["accuracy"].mean().reset_index()
    ours = ours.rename(columns={"protocol": "split"})
    ours.insert(0, "method", "ours, " + ours.pop("variant"))
    return pd.concat([others, ours], ignore_index=True)


def examine_sources(
    manifest: pd.DataFrame,
    predictions: pd.DataFrame,
    recalls: Published,
    options: ScoreOptions,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Ask what the accuracy rests on: how many cells, which classes, which single cells.

    Returns
    -------
    protocols
        Accuracy and macro-F1 of each variant and protocol, and the cells behind them.
    recalls
        Of each class, as printed and under each protocol.
    by_source
        Accuracy on the images of each cell, the worst first.
    """
    from wbc_pipeline.evaluation import by_source

    bootstrap = {"level": options.level, "resamples": options.resamples}
    return (
        by_source.protocol_summary(predictions, manifest, **bootstrap),
        by_source.recalls(predictions, recalls, **bootstrap),
        by_source.accuracy_by_source(predictions),
    )


def draw_figures(
    *,
    manifest: pd.DataFrame,
    predictions: pd.DataFrame,
    protocols: pd.DataFrame,
    by_source: pd.DataFrame,
    image: ImageArray,
    published: Published,
    shown: ShownOptions,
    dataset: str,
) -> dict[str, Any]:
    """Draw the paper's own figures, by name."""
    from wbc_pipeline.evaluation import source_figures

    worst = _worst_sources(by_source, shown)
    return {
        "accuracy_by_protocol": source_figures.accuracy_by_protocol(
            protocols, published, dataset=dataset
        ),
        "roc_curves": source_figures.roc_curves(predictions, dataset=dataset),
        "hardest_sources": source_figures.hardest_sources(
            worst, _tiles(manifest, image, worst["source_id"], shown.tiles), dataset=dataset
        ),
    }


def draw_stages(manifest: pd.DataFrame, image: ImageArray, dataset: str) -> Any:
    """Draw one image of each class after each step of the paper's preprocessing.

    Where a step finds a region by limits of colour, what is within them is drawn alone, then the
    box around it; the crop is what the next step begins with.
    """
    from wbc_pipeline.evaluation.figures import gallery
    from wbc_pipeline.imaging.chain import build_chain
    from wbc_pipeline.imaging.contact_sheet import outline
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.imaging.reading import read_image
    from wbc_pipeline.imaging.steps import resize

    steps = image.result.key["steps"]
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
    return gallery(pictures, examples["label"].tolist(), dataset=dataset)


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
