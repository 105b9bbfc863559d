"""The study of preprocessing: what it does to images, and to networks."""

from __future__ import annotations

import lazy_loader as lazy
import numpy as np
from pydantic import Field

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.options import Options
from wbc_pipeline.pipelines.experiment.options import Variants
from wbc_pipeline.pipelines.preprocessing.options import Restorers
from wbc_pipeline.pipelines.reporting.options import ScoreOptions

pd = lazy.load("pandas")


class StudyOptions(Options):
    """Which variants differ by the preprocessing of their images alone.

    Parameters
    ----------
    methods
        The variant of each method, by the method's name; the first does nothing.
    images
        How many test images of each run are compared with the clean ones, evenly from each class.
    """

    methods: dict[str, str] = Field(min_length=2)
    images: int = Field(gt=0)


def study_preprocessing(
    *,
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    views: dict[str, ImageArray],
    restored: dict[str, ImageArray],
    restorers: Restorers,
    variants: Variants,
    preprocessing_study: StudyOptions,
    dataset: str,
    score: ScoreOptions,
) -> dict[str, pd.DataFrame]:
    """Measure the test part of each method against the clean images, beside macro-F1.

    Parameters
    ----------
    predictions, manifest, splits, views, variants, score
        As of the other nodes of a report.
    restored, restorers
        What restorers made of views, by ``<restorer>/<run>``, and which view that is.
    preprocessing_study
        The methods.
    dataset
        Its name: of images that come degraded, clean ones are not known.

    Returns
    -------
    items
        ``preprocessing_study``, a row per protocol and method; nothing if the first method, or all
        but that, were not run.
    """
    from wbc_pipeline.evaluation.scores.metrics import tested
    from wbc_pipeline.evaluation.scores.preprocessing import (
        preprocessing_study as list_methods,
    )
    from wbc_pipeline.sources.combined import come_degraded

    test = tested(predictions)
    run = set(test["variant"])
    methods = {method: name for method, name in preprocessing_study.methods.items() if name in run}
    first = next(iter(preprocessing_study.methods))
    if first not in methods or len(methods) < 2:
        return {}
    similarities = pd.DataFrame()
    if not come_degraded(dataset):
        similarities = _compare_views(
            {method: variants.root[name] for method, name in methods.items()},
            manifest=manifest,
            splits=splits,
            views=views,
            restored=restored,
            restorers=restorers,
            count=preprocessing_study.images,
        )
    table = list_methods(
        similarities, test, manifest, methods, resamples=score.resamples, level=score.level
    )
    return {"preprocessing_study": table}


def _compare_views(
    methods: dict, *, manifest, splits, views, restored, restorers, count: int
) -> pd.DataFrame:
    """Compare what each method's variant sees of some test images with the first one's clean view.

    Runs and rows are those of the splits; a row per method, run and image.
    """
    from wbc_pipeline.evaluation.scores.preprocessing import similarity
    from wbc_pipeline.evaluation.scores.restoration import sample_evenly
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.pipelines.experiment.inputs import PartedArray, views_of_variant
    from wbc_pipeline.pipelines.experiment.runs import iterate_runs, views_of

    images = accepted(manifest)
    clean = next(iter(views_of(next(iter(methods.values())), views).values()))
    tables = []
    for run in iterate_runs(splits, images):
        rows = run.rows["test"]
        rows = np.sort(rows[sample_evenly(images["label"].iloc[rows], count)])
        for method, variant in methods.items():
            seen = views_of(variant, views_of_variant(variant, views, run, restorers, restored))
            shown = next(iter(seen.values()))
            if isinstance(shown, PartedArray):
                shown = shown.parts.get("test", shown.plain)  # these rows alone are read
            found = similarity(
                clean.pixels[rows], shown.pixels[rows], title=f"Comparing {method} ({run.name})"
            )
            tables.append(found.assign(method=method, **run.key))
    return pd.concat(tables, ignore_index=True)
