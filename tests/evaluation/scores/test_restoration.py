import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.evaluation.scores.restoration import (
    CLEAN,
    MOST_PSNR,
    NONE,
    find_best_methods,
    sample_evenly,
    score_restoration,
    summarise_restoration,
)
from wbc_pipeline.imaging.chain import build_chain
from wbc_pipeline.imaging.degrade import DEGRADATIONS
from wbc_pipeline.imaging.masks import region_mask
from wbc_pipeline.sources.smears import render_cell

NUCLEUS = build_chain([{"violet_mask_hsv": {}}, {"largest_component": {}}])
METHODS = {NONE: [], "median": [{"median_filter": {}}]}


@pytest.fixture(scope="module")
def summary():
    cells = [
        render_cell("lymphocyte", seed=seed, image_size=48, domain="giemsa/laboratory_a")
        for seed in range(2)
    ]
    images = np.stack([cell.image for cell in cells])
    nuclei = np.stack([region_mask(cell.mask, "nucleus") for cell in cells])
    tables = [
        score_restoration(
            build_chain(steps), images, [3, 7], NUCLEUS, nuclei, severities=[1, 5], title=""
        ).assign(method=name)
        for name, steps in METHODS.items()
    ]
    return summarise_restoration(pd.concat(tables, ignore_index=True))


def test_psnr_falls_with_severity_for_every_degradation(summary):
    psnr = summary[summary["method"] == NONE].set_index(["kind", "severity"])["psnr"]
    for kind in DEGRADATIONS:
        assert MOST_PSNR == psnr[CLEAN, 0] >= psnr[kind, 1] > psnr[kind, 5]


def test_the_clean_image_is_the_ceiling_of_doing_nothing(summary):
    row = summary.set_index(["method", "kind"]).loc[(NONE, CLEAN)]
    assert row["ssim"] == 1
    assert row["dice"] > 0.8


def test_the_median_removes_salt_and_pepper(summary):
    gains = summary.set_index(["method", "kind", "severity"])["psnr_difference"]
    assert gains["median", "salt_and_pepper", 5] > 5
    assert gains[NONE, "salt_and_pepper", 5] == 0


def test_the_best_method_is_named_for_each_degradation(summary):
    best = find_best_methods(summary, {"psnr": "PSNR"}).set_index("kind")
    assert best["method"]["salt_and_pepper"] == "median"
    assert best["method"][CLEAN] == NONE


def test_without_expert_masks_the_clean_image_s_own_nucleus_is_the_reference():
    image = render_cell("monocyte", seed=1, image_size=48, domain="wright/laboratory_b").image
    scores = score_restoration(
        build_chain([]), image[None], [0], NUCLEUS, None, severities=[5], title=""
    )
    assert scores.loc[scores["kind"] == CLEAN, "dice"].item() == 1


def test_every_domain_is_sampled():
    domains = pd.Series(["a"] * 50 + ["b"] * 2 + ["c"] * 9)
    rows = sample_evenly(domains, 9)
    assert domains[rows].value_counts().to_dict() == {"a": 3, "b": 2, "c": 3}
    assert len(sample_evenly(domains, 1)) == 3
