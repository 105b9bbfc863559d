"""Predictions of networks that segment too: within a set, and in two directions of a shift."""

import numpy as np
import pandas as pd
from paper_tables import CLASSES, VARIANTS, make_predictions

from wbc_pipeline.evaluation.scores.overlaps import with_overlaps

STAINS = ["giemsa", "wright"]


def make_overlaps(*, variants=VARIANTS[:2], seeds=(0, 1), classes=CLASSES) -> pd.DataFrame:
    """Make test rows with overlaps, of ``source`` and of both folds of ``domain``."""
    rng = np.random.default_rng(5)
    parts = []
    for protocol, fold, level in (("source", 0, 0.95), ("domain", 0, 0.8), ("domain", 1, 0.7)):
        part = make_predictions(
            variants=variants, protocols=["source"], seeds=seeds, views=1, classes=classes
        ).assign(protocol=protocol, fold=fold, mask_pixels=4096)
        part["domain"] = STAINS[fold] if protocol == "domain" else rng.choice(STAINS, len(part))
        union = rng.integers(600, 1200, len(part))
        share = rng.beta(40 * level, 40 * (1 - level), len(part))
        for region in ("cell", "nucleus"):
            part[f"union_{region}"] = pd.array(union, dtype="Int64")
            part[f"intersection_{region}"] = pd.array((share * union).astype(int), dtype="Int64")
        part["saliency_inside"] = share
        parts.append(part)
    return with_overlaps(pd.concat(parts, ignore_index=True))
