"""Names of metrics in MLflow, whose UI folds what has one word before the slash into a section."""

# How columns of a training's history begin, and what they are called; others are not tracked.
CURVES = {
    "train_": "train/",
    "val_": "val/",
    "learning_rate": "stage/learning_rate",
    "stage_number": "stage/number",
    "unfrozen_parameters": "stage/unfrozen_parameters",
}
SUMMARY = {
    "epochs": "stage/epochs",
    "best_epoch": "stage/best_epoch",
    "training_seconds": "cost/training_seconds",
    "seconds_per_epoch": "cost/seconds_per_epoch",
    "parameters": "cost/parameters",
}
COSTS = ("inference_ms",)  # measured beside the scores


def curve_name(column: str) -> str | None:
    """Name a column of a training's history; None for what is no curve.

    >>> curve_name("val_loss"), curve_name("learning_rate_lowest"), curve_name("seconds")
    ('val/loss', 'stage/learning_rate_lowest', None)
    """
    for start, name in CURVES.items():
        if column.startswith(start):
            return name + column.removeprefix(start)
    return None


def path_name(parameter: str) -> str:
    """Name a scalar that is followed step by step.

    >>> path_name("alpha")
    'path/alpha'
    """
    return f"path/{parameter}"


def score_name(metric: str) -> str:
    """Name a metric of the test images.

    >>> score_name("accuracy"), score_name("inference_ms")
    ('test/accuracy', 'cost/inference_ms')
    """
    return f"cost/{metric}" if metric in COSTS else f"test/{metric}"
