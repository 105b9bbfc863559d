"""One variant of a paper: trained and tested under each protocol and seed."""

from collections.abc import Iterable

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.experiment.nodes import choose_precision, predict_runs, train_runs


def precision_pipeline(paper: str, reference: str) -> Pipeline:
    """Find the precision that trains the reference variant fastest; all variants then use it."""
    return Pipeline(
        [
            node(
                choose_precision,
                {
                    "view": "view",
                    "variant": "params:variant",
                    "train": "params:train",
                    "trainer": "params:trainer",
                    "device": "params:device",
                },
                "precision",
                name="choose_precision",
            )
        ],
        namespace=paper,
        inputs={"view": f"{paper}.views.image"},
        parameters={
            "params:device": "params:device",
            "params:variant": f"params:{paper}.variants.{reference}",
        },
        tags="training",
    )


def experiment_pipeline(
    paper: str, variant: str, views: Iterable[str], *, splits: str = "splits"
) -> Pipeline:
    """Train and test one variant under each protocol and seed of a table of splits."""
    views = tuple(views)
    shared = {"manifest": "manifest", "splits": "splits", **{view: view for view in views}}
    return Pipeline(
        [
            node(
                train_runs,
                {
                    **shared,
                    "images": "images",
                    "identity": "identity",
                    "precision": "precision",
                    "dataset": "params:dataset",
                    "chosen": "params:variants",
                    "variant": "params:variant",
                    "train": "params:train",
                    "trainer": "params:trainer",
                    "device": "params:device",
                },
                "runs",
                name="train",
                tags="training",
            ),
            node(
                predict_runs,
                {
                    **shared,
                    "identity": "identity",
                    "runs": "runs",
                    "chosen": "params:variants",
                    "variant": "params:variant",
                    "device": "params:device",
                },
                "predictions",
                name="predict",
                tags="prediction",
            ),
        ],
        namespace=f"{paper}.{variant}",
        inputs={
            "images": "images",
            "manifest": "manifest",
            "splits": splits,
            "precision": f"{paper}.precision",
            **{view: f"{paper}.views.{view}" for view in views},
        },
        parameters={
            "params:dataset": "params:dataset",
            "params:device": "params:device",
            "params:variants": "params:variants",
            "params:variant": f"params:{paper}.variants.{variant}",
            "params:train": f"params:{paper}.train",
            "params:trainer": f"params:{paper}.trainer",
        },
    )
