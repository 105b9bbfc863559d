"""A paper's networks on a challenge's test images."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.submission import nodes


def submission_pipeline(paper: str) -> Pipeline:
    """Answer the published test images that have no labels, a file per variant.

    Parameters
    ----------
    paper
        Its name, and that of its group of parameters.
    """
    own = f"{paper}.submission"
    selected = {"variants": f"params:{paper}.variants", "chosen": "params:variants"}

    def step(func, inputs, outputs, tag):
        return node(func, inputs, outputs, name=func.__name__, namespace=own, tags=tag)

    return Pipeline(
        [
            step(
                nodes.predict_unlabelled,
                {
                    "manifest": "manifest",
                    "splits": "splits",
                    "views": f"{paper}.views",
                    "trainings": f"{paper}.trainings",
                    "restorers": f"params:{paper}.restorers",
                    "trained_restorers": f"{paper}.restorers",
                    "device": "params:device",
                    **selected,
                },
                f"{own}.predicted",
                "prediction",
            ),
            step(
                nodes.combine_unlabelled,
                {
                    "predicted": f"{own}.predicted",
                    "predictions": f"{paper}.predictions",
                    **selected,
                },
                f"{own}.predictions",
                "prediction",
            ),
            step(
                nodes.write_submissions,
                ["source", "manifest", "splits", f"{own}.predictions"],
                [f"{own}.files", f"{paper}.report.write_submissions_items"],
                "reporting",
            ),
        ]
    )
