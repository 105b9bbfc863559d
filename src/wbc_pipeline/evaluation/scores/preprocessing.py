"""What preprocessing does to degraded images, and to the networks that look at them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.directions import SHIFTS
from wbc_pipeline.evaluation.scores.hypotheses import PLACE, paired_tests
from wbc_pipeline.evaluation.scores.restoration import MOST_PSNR
from wbc_pipeline.imaging.arrays import map_threads

COLUMNS = [
    *("protocol", "tested", "method", "variant", "psnr", "ssim", "images"),
    *("macro_f1", "difference", "difference_low", "difference_high", "p_value", "p_holm"),
    *("sources", "seeds", "interval_unit"),
]


def similarity(clean: np.ndarray, shown: np.ndarray, *, title: str) -> pd.DataFrame:
    """Measure how near images come to the clean ones.

    Parameters
    ----------
    clean, shown
        RGB, uint8, [M, H, W, 3], of one shape.
    title
        Beside the progress bar.

    Returns
    -------
    DataFrame
        A row per image: ``psnr`` in dB, at most `MOST_PSNR`, and ``ssim``, at most 1.
    """

    def measure(row: int) -> dict[str, float]:
        with np.errstate(divide="ignore"):  # equal images: infinite
            psnr = peak_signal_noise_ratio(clean[row], shown[row], data_range=255)
        ssim = structural_similarity(clean[row], shown[row], channel_axis=-1)
        return {"psnr": min(float(psnr), MOST_PSNR), "ssim": float(ssim)}

    return pd.DataFrame(map_threads(measure, range(len(clean)), title=title))


@described(
    heading="Preprocessing study",
    caption="What each method does to the images of the test part and to macro-F1. PSNR and SSIM "
    "are of the method's view against the view as it is before parts are degraded (means over a "
    "sample of test images and seeds; empty where images come degraded, as what they were before "
    "is not known). Macro-F1 is of the variant that looks at that view, its difference that from "
    "the first method, on the same images, with an interval over sources to which the variance "
    "over seeds is added. p values are of the permutation test over sources, and corrected after "
    "Holm over the methods. Stain normalisation moves colours on purpose, and so away from the "
    "clean image. A method may come nearer to the clean image and not help the network, "
    "which has learned from images that were treated alike.",
)
def preprocessing_study(
    similarities: pd.DataFrame,
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    methods: Mapping[str, str],
    **options,
) -> pd.DataFrame:
    """Put the quality of images beside the macro-F1 of the variants that look at them.

    Parameters
    ----------
    similarities
        A row per method, run and image: ``method``, ``protocol``, ``seed``, ``fold`` and the
        columns of `similarity`; may have no rows.
    predictions
        Of the test part, of several variants; those that no method names are left out.
    manifest
        See ``hypotheses.paired_tests``.
    methods
        The variant of each method; the first method is what others are compared with.
    **options
        ``resamples``, ``level``, ``seed`` of ``hypotheses.paired_tests``.

    Returns
    -------
    DataFrame
        A row per protocol (of ``domain`` and ``dataset`` per fold) and method that was run
        (`COLUMNS`); no rows if the first method or all others were not.
    """
    reference = next(iter(methods.values()))
    used = predictions[predictions["variant"].isin(methods.values())]
    tests = paired_tests(used, manifest, reference=reference, metrics=["macro_f1"], **options)
    means = _means(similarities)
    rows = []
    for place, found in tests.groupby(PLACE, sort=False, dropna=False):
        by_variant = found.set_index("variant")
        for method, variant in methods.items():
            named = dict(zip(PLACE, place, strict=True)) | {"method": method, "variant": variant}
            if variant == reference:
                first = found.iloc[0]
                counted = {name: first[name] for name in ("seeds", "sources", "interval_unit")}
                rows.append(named | {"macro_f1": first["reference_score"]} | counted)
            elif variant in by_variant.index:
                rows.append(named | _difference(by_variant.loc[variant]))
    table = pd.DataFrame(rows, columns=None if rows else [*COLUMNS, "fold"])
    table = table.merge(means, on=["protocol", "fold", "method"], how="left")
    return table.reindex(columns=COLUMNS)


def _means(similarities: pd.DataFrame) -> pd.DataFrame:
    keys = ["protocol", "fold", "method"]
    if similarities.empty:
        return pd.DataFrame(columns=[*keys, "psnr", "ssim", "images"])
    fold = similarities["fold"].where(similarities["protocol"].isin(SHIFTS), 0)
    groups = similarities.assign(fold=fold).groupby(keys, sort=False)
    return groups.agg(
        psnr=("psnr", "mean"), ssim=("ssim", "mean"), images=("psnr", "size")
    ).reset_index()


def _difference(test: pd.Series) -> dict:
    """Turn a gain of the reference over a variant into the variant's difference from it."""
    return {
        "macro_f1": test["variant_score"],
        "difference": 0 - test["gain"],  # no -0.0
        "difference_low": 0 - test["gain_high"],
        "difference_high": 0 - test["gain_low"],
        "p_value": test["p_sources"],
        "p_holm": test["p_sources_holm"],
        **{name: test[name] for name in ("seeds", "sources", "interval_unit")},
    }
