"""One classifier on one fold."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from wbc_pipeline.datasets.results import Result
from wbc_pipeline.models.classifiers import build_classifier
from wbc_pipeline.pipelines.experiment.runs import Run, identify
from wbc_pipeline.training.predict import SMALLEST_PROBABILITY


def classify_fold(
    folder: Path,
    *,
    name: str,
    arguments: dict,
    run: Run,
    images: pd.DataFrame,
    features: Result,
) -> None:
    """Train a classifier, let it answer for the test part, and write ``predictions.parquet``.

    Parameters
    ----------
    folder
        Where to write.
    name, arguments
        See `build_classifier`.
    run
        Which rows play which part.
    images
        The manifest's ``ok`` rows.
    features
        With the table ``features``, see the node ``describe_cells``.
    """
    table = features.table("features").set_index("image_id")
    shown = {part: images.iloc[rows] for part, rows in run.rows.items()}
    values = {part: table.loc[rows["image_id"]].to_numpy() for part, rows in shown.items()}
    classifier = build_classifier(name, arguments, seed=run.seed)
    with warnings.catch_warnings():
        # Fewer cells than components: it takes as many as there are cells.
        warnings.filterwarnings("ignore", message="n_components > n_samples")
        # Class numbers, as forests take names such as "0" for numbers of their own.
        classes, codes = np.unique(shown["train"]["label"].to_numpy(str), return_inverse=True)
        classifier.fit(values["train"], codes)
    probabilities = classifier.predict_proba(values["test"]).clip(SMALLEST_PROBABILITY)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    tested = shown["test"].reset_index(drop=True)
    identity = identify(tested, "test", name, run, "clean")
    columns = [f"p_{label}" for label in classes]
    answers = pd.DataFrame(np.asarray(probabilities), columns=columns)
    pd.concat([identity, answers], axis=1).to_parquet(folder / "predictions.parquet", index=False)
