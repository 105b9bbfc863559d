"""The blend paper's own figures and tables."""

from __future__ import annotations

from typing import Any

import lazy_loader as lazy

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result
from wbc_pipeline.keys import run_name
from wbc_pipeline.pipelines.experiment.options import Variants
from wbc_pipeline.pipelines.reporting.options import PaperOptions, Published, ScoreOptions

pd = lazy.load("pandas")

GALLERY_CAPTION = (
    "One image per class: as it is, its segmented foreground, and what the blend shows to the "
    "network before and after training."
)
SHOWN_PROTOCOL = "source"  # whose networks are shown, if it was run
PROPOSAL = "blend"  # the variant that the paper proposes
OTHERS_CAPTION = (
    "The paper's Table 4 holds other people's models against its own. The facts that this re-run "
    "has contain no numbers of that table; what the paper prints of its proposal stands beside "
    "our networks on the same images, means over seeds."
)


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
    variants: Variants,
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
    variants
        They say which views a network looks at.
    """
    from wbc_pipeline.evaluation.figures.images import gallery
    from wbc_pipeline.evaluation.report.described import describe
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.models import build_network, load_network
    from wbc_pipeline.pipelines.experiment.runs import views_of
    from wbc_pipeline.training.blends import blend_images

    images = accepted(manifest)
    protocols = splits["protocol"].unique()
    protocol = SHOWN_PROTOCOL if SHOWN_PROTOCOL in protocols else protocols[0]
    shown = splits[(splits["protocol"] == protocol) & (splits["seed"] == 0) & (splits["fold"] == 0)]
    tested = shown.loc[shown["part"] == "test", "image_id"]
    examples = images[images["image_id"].isin(tested)].groupby("label").head(1).sort_values("label")
    rows = examples.index.to_numpy()
    pictures = {name: views[name].pixels[rows] for name in ("image", "foreground")}
    for variant in runs["variant"].unique():
        trained, description = load_network(
            trainings[f"{variant}/{run_name(protocol, 0, 0)}"].folder
        )
        if hasattr(trained, "blend"):
            looked_at = views_of(variants.root[variant], views)
            seen = {name: view.pixels[rows] for name, view in looked_at.items()}
            fresh = build_network(description["name"], description["arguments"], seed=0)
            pictures[f"{variant}\nbefore"] = blend_images(fresh, seen)
            pictures[f"{variant}\nafter"] = blend_images(trained, seen)
    figure = gallery(pictures, examples["label"].tolist(), dataset=dataset)
    return {"gallery": describe(figure, "What the network sees", GALLERY_CAPTION)}


def compare_sizes(
    predictions: pd.DataFrame,
    variants: Variants,
    views: dict[str, ImageArray],
    score: ScoreOptions,
    dataset: str,
) -> dict[str, Any]:
    """Hold each network against itself on images of other sizes, where it has seen several."""
    from wbc_pipeline.evaluation.figures.sizes import draw_sizes
    from wbc_pipeline.evaluation.scores.metrics import tested
    from wbc_pipeline.evaluation.scores.sizes import scores_by_size

    test = tested(predictions)
    networks = {
        name: (_first_alike(name, variants), _image_size(name, variants, views))
        for name in test["variant"].unique()
        if name in variants.networks
    }
    scores = scores_by_size(test, networks, resamples=score.resamples, level=score.level)
    if scores.empty:
        return {}
    return {"image_sizes": scores, "image_size": draw_sizes(scores, dataset=dataset)}


def list_other_models(
    metrics: pd.DataFrame, published: Published, paper: PaperOptions
) -> dict[str, pd.DataFrame]:
    """List our networks where the paper has other people's, beside its proposal as printed."""
    from wbc_pipeline.evaluation.report.described import describe
    from wbc_pipeline.evaluation.scores.comparison import printed_text

    clean = metrics[metrics["condition"] == "clean"]
    keys, names = ["variant", "protocol"], ["accuracy", "log_loss"]
    ours = clean.groupby(keys, sort=False)[names].mean().reset_index()
    ours.insert(0, "model", "ours, " + ours.pop("variant"))
    proposed = {
        "model": f"the paper's {PROPOSAL}",
        "protocol": paper.protocol,
        **{
            f"published_{name}": printed_text(published.get(PROPOSAL, {}).get(name))
            for name in names
        },
    }
    both = pd.concat([pd.DataFrame([proposed]), ours], ignore_index=True)
    return {"other_models": describe(both, "Other people's models", OTHERS_CAPTION)}


def _first_alike(name: str, variants: Variants) -> str:
    """Name the first variant from which this one differs by its views alone."""
    settings = {
        each: variant.model_dump(exclude={"views", "on_request"})
        for each, variant in variants.networks.items()
    }
    return next(each for each in settings if settings[each] == settings[name])


def _image_size(name: str, variants: Variants, views: dict[str, ImageArray]) -> int:
    """Give the side, in pixels, of the images that a variant's network looks at."""
    from wbc_pipeline.pipelines.experiment.runs import views_of

    return next(iter(views_of(variants.root[name], views).values())).pixels.shape[1]
