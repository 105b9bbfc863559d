"""A paper's networks on degraded images: how fast their accuracy falls."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.robustness import nodes


def robustness_pipeline(group: str) -> Pipeline:
    """Degrade test images as the parameters say, and score every trained variant on them.

    Parameters
    ----------
    group
        Name of the paper, and of its group of parameters.
    """
    own = f"{group}.robustness"
    options = f"params:{own}"
    selected = {"variants": f"params:{group}.variants", "chosen": "params:variants"}
    views, trainings = f"{group}.views", f"{group}.trainings"

    def step(func, inputs, outputs, tag):  # all are of one room
        tags = ["robustness", tag]
        return node(func, inputs, outputs, name=func.__name__, namespace=own, tags=tags)

    return Pipeline(
        [
            step(
                nodes.sample_images,
                ["manifest", "splits", options],
                f"{own}.sample",
                "preprocessing",
            ),
            step(
                nodes.degrade_views,
                {
                    "manifest": "manifest",
                    "images": "images",
                    "sample": f"{own}.sample",
                    "views": views,
                    "options": options,
                    "shift": f"params:{group}.shift",
                    "dataset": "params:dataset",
                    **selected,
                },
                f"{own}.degraded",
                "preprocessing",
            ),
            step(
                nodes.predict_degraded,
                {
                    "sample": f"{own}.sample",
                    "splits": "splits",
                    "degraded": f"{own}.degraded",
                    "trainings": trainings,
                    "restorers": f"params:{group}.restorers",
                    "trained_restorers": f"{group}.restorers",
                    "options": options,
                    "device": "params:device",
                    **selected,
                },
                f"{own}.predicted",
                "prediction",
            ),
            step(
                nodes.collect_conditions,
                {"clean": f"{group}.predictions", "predicted": f"{own}.predicted", **selected},
                f"{own}.predictions",
                "prediction",
            ),
            step(
                nodes.score_robustness,
                [f"{own}.predictions", options, f"params:{group}.score"],
                [f"{group}.report.robustness", f"{group}.report.score_robustness_items"],
                "reporting",
            ),
            step(
                nodes.draw_robustness,
                {
                    "scores": f"{group}.report.robustness",
                    "sample": f"{own}.sample",
                    "views": views,
                    "degraded": f"{own}.degraded",
                    "options": options,
                    "dataset": "params:dataset",
                },
                [f"{group}.report.draw_robustness_items", f"{group}.report.robustness_chart"],
                "reporting",
            ),
        ]
    )
