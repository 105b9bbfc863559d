"""What a paper prints with standard deviations and of single classes, beside ours."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.comparison import printed_text
from wbc_pipeline.evaluation.scores.metrics import class_names
from wbc_pipeline.evaluation.scores.overlaps import with_overlaps

COLUMNS = ["variant", "label", "metric", "published"]
RUN = ["variant", "protocol", "seed"]
OF_CLASS = ("iou_cell", "auc")  # what is known of single classes
Printed = Mapping[str, Mapping[str, object]]


@described(
    heading="Published with deviations",
    caption="What the paper prints with its standard deviation over runs, and of single classes, "
    "beside ours: means and standard deviations over seeds. The AUC of a class is against all "
    "others.",
)
def compare_spread(
    metrics: pd.DataFrame,
    predictions: pd.DataFrame,
    published: Printed,
    deviations: Printed,
    classes: Mapping[str, Printed],
) -> pd.DataFrame:
    """Put printed means, deviations and scores of classes beside ours under each protocol.

    Parameters
    ----------
    metrics
        See ``metrics.score_predictions``; the condition ``clean`` counts.
    predictions
        One row per test image and run.
    published, deviations
        ``{variant: {metric: value}}``, as printed.
    classes
        ``{variant: {class: {metric: value}}}`` with metrics of `OF_CLASS`. Classes that the
        predictions lack are skipped: data sets differ in their classes.

    Returns
    -------
    DataFrame
        A row per variant, ``label`` (``all``, or a class) and metric that is printed: ``published``
        (text, with its deviation), each protocol's mean, and its SD as ``<protocol>_sd``. NaN where
        a variant was not run, a class was not tested, or there is one seed.

    Raises
    ------
    ValueError
        If a metric of a class is not one of `OF_CLASS`.
    """
    rows = []
    for variant, values in published.items():
        of_variant = deviations.get(variant, {})
        for metric, value in values.items():
            texts = [printed_text(each) for each in (value, of_variant.get(metric))]
            rows.append((variant, "all", metric, " ± ".join(filter(None, texts))))
    names = class_names(predictions)
    rows += [
        (variant, label, metric, printed_text(value))
        for variant, of_labels in classes.items()
        for label, values in of_labels.items()
        for metric, value in values.items()
        if label in names
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    unknown = table[(table["label"] != "all") & ~table["metric"].isin(OF_CLASS)]
    if len(unknown):
        raise ValueError(
            f"{unknown['metric'].iloc[0]!r} is not known of a single class; give one of "
            f"{', '.join(OF_CLASS)}"
        )
    of_all = metrics[metrics["condition"] == "clean"].assign(label="all")
    measured = [name for name in table["metric"].unique() if name in of_all]
    ours = of_all.melt([*RUN, "label"], measured, var_name="metric")
    clean = predictions[predictions["condition"] == "clean"]
    ours = pd.concat([ours, _scores_of_classes(clean, set(table["label"]) - {"all"})])
    found = ours.groupby([*COLUMNS[:3], "protocol"])["value"].agg(["mean", "std"])
    for protocol in clean["protocol"].unique():
        places = [(*row, protocol) for row in table[COLUMNS[:3]].itertuples(index=False)]
        for column, name in (("mean", protocol), ("std", f"{protocol}_sd")):
            table[name] = found[column].reindex(places).to_numpy()
    return table


def _scores_of_classes(clean: pd.DataFrame, labels: set[str]) -> pd.DataFrame:
    """Score single classes of each run: a row per run, label and metric of `OF_CLASS`."""
    measured = with_overlaps(clean)
    rows = []
    for keys, run in measured.groupby(RUN, sort=False, observed=True):
        for label in sorted(labels):
            own = run["label"] == label
            scores = {"auc": np.nan, "iou_cell": np.nan}
            if own.any() and not own.all():
                scores["auc"] = roc_auc_score(own, run[f"p_{label}"])
            if "iou_cell" in run:
                scores["iou_cell"] = run.loc[own, "iou_cell"].mean()
            known = dict(zip(RUN, keys, strict=True)) | {"label": label}
            rows += [known | {"metric": name, "value": value} for name, value in scores.items()]
    return pd.DataFrame(rows, columns=[*RUN, "label", "metric", "value"])
