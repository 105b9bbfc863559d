"""A paper's table of experiments beside ours: each row, and what it changes against a baseline."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.comparison import (
    printed_text,
    published_values,
    summarise_seeds,
)
from wbc_pipeline.evaluation.scores.confusion import macro_f1
from wbc_pipeline.evaluation.scores.hypotheses import paired_tests
from wbc_pipeline.evaluation.scores.metrics import class_names, tested

METRIC = "macro_f1"
RUN = ["variant", "protocol", "seed", "fold"]


@described(
    heading="Experiments",
    caption="Each row of the paper's tables and of ours: macro F1 as printed and as found, a mean "
    "over seeds with an interval over cells and seeds, and the change against the baseline on the "
    "same images. printed_change is the printed number minus the printed baseline; "
    "validation: macro F1 of the validation part.",
)
def list_experiments(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    experiments: Mapping[str, str],
    published: Mapping[str, Mapping[str, object]],
    *,
    validation: Mapping[str, Mapping[str, object]],
    baseline: str,
    resamples: int = 1000,
    level: float = 0.95,
) -> pd.DataFrame:
    """Put the macro F1 of each experiment as printed beside ours.

    Parameters
    ----------
    predictions
        One row per image and run, of the validation and the test part; ``clean`` counts.
    manifest
        Of the same data set.
    experiments
        What a variant is in the paper, in words; others are ``ours``.
    published
        ``{variant: {"macro_f1": printed}}``.
    validation
        The same of the paper's validation part.
    baseline
        The variant that others are held against.
    resamples, level
        Of the bootstrap.

    Returns
    -------
    DataFrame
        A row per variant that is printed or was run: ``variant``, ``experiment``, ``printed``
        (text), ``printed_change``, ``printed_validation`` (text), and by protocol ``<protocol>``,
        ``_low``, ``_high``, ``<protocol>_change``, ``_change_low``, ``_change_high`` and
        ``<protocol>_validation``, which is NaN without validation images. Folds of shifts are
        averaged without an interval of the change. NaN where a variant was not run.
    """
    clean = tested(predictions)
    clean = clean[clean["condition"] == "clean"].reset_index(drop=True)
    summary = summarise_seeds(clean, metrics=(METRIC,), resamples=resamples, level=level)
    scores = summary.set_index(["variant", "protocol"])
    tests = paired_tests(
        clean, manifest, reference=baseline, metrics=[METRIC], resamples=resamples, level=level
    )
    changes = _changes(tests)
    validated = validation_scores(predictions)
    run = clean["variant"].unique()
    names = [name for name in experiments if name in published or name in run]
    names += [name for name in run if name not in names]
    zero = published_values(published.get(baseline, {}).get(METRIC))
    rows = []
    for name in names:
        printed = published.get(name, {}).get(METRIC)
        values = published_values(printed)
        change = round(values[0] - zero[0], 6) if values and zero and name != baseline else np.nan
        row = {
            "variant": name,
            "experiment": experiments.get(name, "ours"),
            "printed": printed_text(printed),
            "printed_change": change,
            "printed_validation": printed_text(validation.get(name, {}).get(METRIC)),
        }
        for protocol in clean["protocol"].unique():
            found = scores.loc[(name, protocol)] if (name, protocol) in scores.index else {}
            for end, column in (("", "mean"), ("_low", "low"), ("_high", "high")):
                row[f"{protocol}{end}"] = found[column] if len(found) else np.nan
            for end in ("", "_low", "_high"):
                row[f"{protocol}_change{end}"] = changes.get((name, protocol), {}).get(end, np.nan)
            row[f"{protocol}_validation"] = validated.get((name, protocol), np.nan)
        rows.append(row)
    return pd.DataFrame(rows)


def validation_scores(predictions: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Macro F1 on clean validation images, over the classes there: means over seeds and folds.

    Returns
    -------
    dict
        By variant and protocol; nothing of a protocol without validation images.
    """
    rows = predictions[predictions["part"] == "validation"]
    rows = rows[rows["condition"] == "clean"]
    if rows.empty:
        return {}
    classes = class_names(rows)
    answer = rows[[f"p_{name}" for name in classes]].to_numpy().argmax(axis=1)
    truth = pd.Index(classes).get_indexer(rows["label"].astype(object))
    rows = rows.assign(cell=truth * len(classes) + answer)
    scores = {}
    for run, members in rows.groupby(RUN, sort=False, observed=True):
        confusion = np.bincount(members["cell"], minlength=len(classes) ** 2)
        scores[run] = float(macro_f1(confusion.reshape(len(classes), -1)))
    return pd.Series(scores).groupby(level=[0, 1]).mean().to_dict()


def best_by_validation(
    predictions: pd.DataFrame, families: Mapping[str, Sequence[str]], *, protocol: str
) -> dict[str, str]:
    """Choose the network of each family with the highest macro F1 on validation images.

    Parameters
    ----------
    predictions
        One row per image and run.
    families
        Variants by the name of their family. A family of which none was run is left out.
    protocol
        Whose scores count.
    """
    scores = validation_scores(predictions)
    chosen = {}
    for family, members in families.items():
        run = {name: scores[name, protocol] for name in members if (name, protocol) in scores}
        if run:
            chosen[family] = max(run, key=run.get)
    return chosen


def _changes(tests: pd.DataFrame) -> dict[tuple, dict[str, float]]:
    """Turn the gains of the reference over a variant into changes of the variant."""
    found = {}
    for place, folds in tests.groupby(["variant", "protocol"], sort=False, observed=True):
        found[place] = {"": 0.0 - folds["gain"].mean()}
        if len(folds) == 1:
            (fold,) = folds.to_dict("records")
            found[place] |= {"_low": 0.0 - fold["gain_high"], "_high": 0.0 - fold["gain_low"]}
    return found
