"""A paper's networks on degraded images: how fast their accuracy falls."""

from collections.abc import Iterable

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.reporting.pipeline import ROBUSTNESS_FIGURES, ROBUSTNESS_TABLES
from wbc_pipeline.pipelines.robustness import nodes


def robustness_pipeline(
    paper: str, variants: Iterable[str], views: Iterable[str], *, splits: str = "splits"
) -> Pipeline:
    """Degrade test images as the parameters say, and score every trained variant on them.

    Parameters
    ----------
    paper
        Its name; ``robustness`` below it has the parameters.
    variants
        The first is the one that others are compared with.
    views
        The paper's; a degraded one is made once for all variants that look at it.
    splits
        The table whose test parts are degraded.
    """
    variants, views = tuple(variants), tuple(views)
    degraded = {view: f"{view}_degraded" for view in views}
    predictions = {variant: f"{variant}_predictions" for variant in variants}
    clean = {variant: f"{variant}_clean_predictions" for variant in variants}
    runs = {variant: f"{variant}_runs" for variant in variants}
    identities = {variant: f"{variant}_identity" for variant in variants}
    options = f"params:{paper}.robustness"
    return Pipeline(
        [
            node(
                nodes.sample_images,
                ["manifest", "splits", options],
                "sample",
                name="sample_images",
            ),
            node(
                nodes.degrade_views,
                {
                    **{name: name for name in ("manifest", "images", "sample")},
                    **{view: view for view in views},
                    "chosen": "params:variants",
                    "variants": f"params:{paper}.variants",
                    "options": options,
                },
                degraded,
                name="degrade_views",
                tags="preprocessing",
            ),
            *(
                node(
                    nodes.predict_degraded,
                    {
                        **{name: name for name in ("sample", "splits")},
                        **degraded,
                        "identity": identities[variant],
                        "runs": runs[variant],
                        "chosen": "params:variants",
                        "variant": f"params:{paper}.variants.{variant}",
                        "options": options,
                        "device": "params:device",
                    },
                    predictions[variant],
                    name=f"predict_{variant}",
                    tags="prediction",
                )
                for variant in variants
            ),
            node(
                nodes.collect_predictions,
                {"splits": "splits", "chosen": "params:variants", **clean},
                "clean",
                name="collect_clean",
                tags="reporting",
            ),
            node(
                nodes.collect_conditions,
                {
                    "clean": "clean",
                    "splits": "splits",
                    "chosen": "params:variants",
                    **predictions,
                },
                "predictions",
                name="collect_conditions",
                tags="reporting",
            ),
            node(
                nodes.score_robustness,
                ["predictions", options, f"params:{paper}.score"],
                ["robustness", *ROBUSTNESS_TABLES],
                name="score_robustness",
                tags="reporting",
            ),
            node(
                nodes.draw_curves,
                ["robustness", options, "params:dataset"],
                "robustness_curves_figure",
                name="draw_curves",
                tags="reporting",
            ),
            node(
                nodes.draw_sheet,
                {
                    "sample": "sample",
                    "options": options,
                    "dataset": "params:dataset",
                    **{view: view for view in views},
                    **{name: name for name in degraded.values()},
                },
                "degraded_sheet_figure",
                name="draw_sheet",
                tags="reporting",
            ),
        ],
        namespace=f"{paper}.robustness",
        inputs={
            "images": "images",
            "manifest": "manifest",
            "splits": splits,
            **{view: f"{paper}.views.{view}" for view in views},
            **{name: f"{paper}.{variant}.runs" for variant, name in runs.items()},
            **{name: f"{paper}.{variant}.predictions" for variant, name in clean.items()},
            **{name: f"{paper}.{variant}.identity" for variant, name in identities.items()},
        },
        outputs={
            name: f"{paper}.report.{name}"
            for name in (
                "robustness",
                *ROBUSTNESS_TABLES,
                *(f"{name}_figure" for name in ROBUSTNESS_FIGURES),
            )
        },
        parameters={
            options,
            "params:dataset",
            "params:device",
            "params:variants",
            f"params:{paper}.score",
            f"params:{paper}.variants",
            *(f"params:{paper}.variants.{variant}" for variant in variants),
        },
        tags="robustness",
    )
