"""A paper's networks, trained and tested under each protocol and seed."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.experiment import confidences, nodes, restoring, shifting


def shifted_view_pipeline(paper: str) -> Pipeline:
    """Make a paper's views, and those of the parts that it shifts.

    Parameters
    ----------
    paper
        Its name, and that of its group of parameters.
    """
    inputs = {
        "images": "images",
        "manifest": "manifest",
        "chains": f"params:{paper}.views",
        "options": "params:preprocessing",
        "dataset": "params:dataset",
        "chosen": "params:variants",
        **{name: f"params:{paper}.{name}" for name in ("shift", "restorers", "variants")},
    }
    namespace = f"{paper}.preprocessing"
    return Pipeline(
        [
            node(
                shifting.degrade_parts,
                inputs,
                f"{paper}.degraded_parts",
                name="degrade_parts",
                namespace=namespace,
            ),
            node(
                shifting.make_shifted_views,
                {**inputs, "degraded": f"{paper}.degraded_parts"},
                f"{paper}.views",
                name="make_views",
                namespace=namespace,
            ),
        ],
        tags="preprocessing",
    )


def experiment_pipeline(
    group: str,
    *,
    splits: str = "splits",
    chosen: str | None = "params:variants",
    restores: bool = False,
    cuts: bool = False,
) -> Pipeline:
    """Train and test every variant of a group of parameters, and combine their predictions.

    Parameters
    ----------
    group
        Name of the group of parameters, and of the datasets.
    splits
        The table of splits.
    chosen
        The parameter that selects variants; None for all.
    restores
        Whether the group is a paper's: it has restorers, which are trained before the variants, and
        its networks are asked about images of users.
    cuts
        Whether detectors cut views for each run, as ``<group>.cut``.
    """
    selected = {"variants": f"params:{group}.variants"} | ({"chosen": chosen} if chosen else {})
    shared = {"manifest": "manifest", "splits": splits, "views": f"{group}.views"}
    namespace = f"{group}.experiment"
    behind = {}
    before = Pipeline([])
    cut = {"cut": f"{group}.cut"} if cuts else {}
    if restores:
        behind = {"restorers": f"params:{group}.restorers", "restored": f"{group}.restored"}
        before = _restoring_pipeline(group, {**shared, **selected})
        before += _confidence_pipeline(group, {**shared, **selected, **cut})
    return before + Pipeline(
        [
            node(
                nodes.compose,
                {"splits": splits, "views": f"{group}.views", **selected},
                f"{group}.composites",
                name="compose",
                namespace=namespace,
                tags="training",
            ),
            node(
                nodes.train,
                {
                    **shared,
                    **selected,
                    **behind,
                    **cut,
                    "composites": f"{group}.composites",
                    "images": "images",
                    "paper": f"{group}.name",
                    "dataset": "params:dataset",
                    "schedule": f"params:{group}.train",
                    "trainer": f"params:{group}.trainer",
                    "device": "params:device",
                },
                f"{group}.trainings",
                name="train",
                namespace=namespace,
                tags="training",
            ),
            node(
                nodes.predict,
                {
                    **shared,
                    **selected,
                    **behind,
                    **cut,
                    "trainings": f"{group}.trainings",
                    "device": "params:device",
                },
                f"{group}.predicted",
                name="predict",
                namespace=namespace,
                tags="prediction",
            ),
            node(
                nodes.combine,
                {"predicted": f"{group}.predicted", **selected},
                f"{group}.predictions",
                name="combine",
                namespace=namespace,
                tags="prediction",
            ),
            node(
                nodes.collect_runs,
                {
                    "trainings": f"{group}.trainings",
                    "predicted": f"{group}.predicted",
                    **selected,
                },
                [f"{group}.report.{table}" for table in ("runs", "history", "paths")],
                name="collect_runs",
                namespace=namespace,
                tags="reporting",
            ),
        ]
    )


def _confidence_pipeline(group: str, shared: dict[str, str]) -> Pipeline:
    """Fit beside every training how far its answers can be trusted."""
    inputs = {
        **shared,
        **{name: f"{group}.{name}" for name in ("trainings", "predicted")},
        "images": "images",
        "device": "params:device",
        "options": "params:predict",
    }
    return Pipeline(
        [
            node(
                confidences.fit_confidences,
                inputs,
                f"{group}.confidences",
                name="fit_confidences",
                namespace=f"{group}.experiment",
                tags="prediction",
            )
        ]
    )


def _restoring_pipeline(group: str, shared: dict[str, str]) -> Pipeline:
    """Train the restorers that variants look through, and let them restore."""
    namespace = f"{group}.experiment"
    options = {"restorers": f"params:{group}.restorers", "device": "params:device"}
    without = {name: place for name, place in shared.items() if name not in ("variants", "chosen")}
    return Pipeline(
        [
            node(
                restoring.train_restorers,
                {
                    **shared,
                    **options,
                    "paper": f"{group}.name",
                    "dataset": "params:dataset",
                    "trainer": f"params:{group}.trainer",
                },
                f"{group}.restorers",
                name="train_restorers",
                namespace=namespace,
                tags="training",
            ),
            node(
                restoring.restore_views,
                {**without, **options, "trained": f"{group}.restorers"},
                f"{group}.restored",
                name="restore_views",
                namespace=namespace,
                tags="preprocessing",
            ),
        ]
    )
