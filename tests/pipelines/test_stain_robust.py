"""Variants that learn from composites and refine what they predict, beside one that does not."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from kept_results import result_of

from wbc_pipeline.errors import UserError
from wbc_pipeline.models import NETWORKS
from wbc_pipeline.pipelines.experiment.composites import Composites
from wbc_pipeline.pipelines.experiment.nodes import compose
from wbc_pipeline.pipelines.experiment.options import CompositeOptions, Variant, Variants
from wbc_pipeline.pipelines.experiment.trainings import training_of
from wbc_pipeline.training.options import StageOptions, merge_stages

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def conf(tmp_path_factory):
    """The test's configuration with variants of ``blend`` that differ in one thing each."""
    folder = shutil.copytree(PROJECT / "conf", tmp_path_factory.mktemp("robust") / "conf")
    shutil.rmtree(folder / "local")
    shutil.copytree(folder / "test", folder / "local")
    local = folder / "local/parameters_blend.yml"
    parameters = yaml.safe_load(local.read_text())
    composites = {"count": 2, "plain": 0.5}
    parameters["blend"]["variants"] = {
        "plain": {"network": "tiny_joint"},
        "composed": {"network": "tiny_joint", "composites": composites},
        "refined": {"network": "tiny_joint", "refine": {"opening": 0.05}},
    }
    local.write_text(yaml.safe_dump(parameters))
    return folder


@pytest.fixture(scope="module")
def robust(run_pipeline, conf, tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    NETWORKS["tiny_joint"] = "tiny_joint:TinyJoint"
    try:
        run_pipeline(
            "blend",
            data,
            env=None,
            conf=conf,
            dataset="demo",
            protocols="source",
            variants="plain+composed+refined",
            tracking={"enabled": False},
        )
        yield data
    finally:
        del NETWORKS["tiny_joint"]


def key_of(folder):
    return json.loads((folder / "key.json").read_text())


def test_composites_are_kept_once_behind_the_images_that_they_are_of(robust):
    images = result_of(robust / "04_feature/demo/blend", "image")
    made = result_of(robust / "05_model_input/demo/blend/composites", "composed/0")
    pixels, masks = (np.load(made / f"{name}.npy") for name in ("images", "masks"))
    own = np.load(images / "images.npy")
    assert len(pixels) == len(masks) == 3 * len(own)
    np.testing.assert_array_equal(pixels[: len(own)], own)
    np.testing.assert_array_equal(masks, np.tile(np.load(images / "masks.npy"), (3, 1, 1)))
    assert (made / "contact_sheet.png").is_file()
    assert "plain" not in key_of(made)["params"]
    assert key_of(made)["params"]["seed"] == 0
    assert "imaging/recompose.py" in key_of(made)["code"]


def test_composites_and_refinement_stand_in_the_keys_of_variants_that_use_them_alone(robust):
    models, runs = robust / "06_models/demo/blend", robust / "07_model_output/demo/blend/runs"
    names = "plain", "composed", "refined"
    trained = {name: key_of(result_of(models, f"{name}/source-0")) for name in names}
    predicted = {name: key_of(result_of(runs, f"{name}/source-0")) for name in names}
    assert [name for name in names if "composites" in trained[name]["params"]] == ["composed"]
    assert [name for name in names if "composites" in trained[name]["data"]] == ["composed"]
    assert trained["plain"]["params"]["losses"].keys() == {
        *("cross_entropy", "bce", "dice", "alignment")
    }
    assert [name for name in names if "refine" in predicted[name]["params"]] == ["refined"]
    assert ["training/refine.py" in predicted[name]["code"] for name in names] == [
        *(False, False, True)
    ]
    assert "refine" not in trained["refined"]["params"]


def test_every_variant_predicts_the_same_images(robust):
    table = pd.read_parquet(robust / "07_model_output/demo/blend/predictions.parquet")
    shown = {name: set(rows["image_id"]) for name, rows in table.groupby("variant")}
    assert shown["plain"] == shown["composed"] == shown["refined"]
    assert table["union_cell"].notna().all()


def test_composites_join_the_training_part_alone_and_images_repeat_by_their_share():
    composites = Composites(None, CompositeOptions(count=4, plain=0.5))
    parts = {"train": np.array([0, 2]), "validation": np.array([1]), "test": np.array([3])}
    extended = composites.extend_parts(parts, total=5)
    rows, counts = np.unique(extended["train"], return_counts=True)
    assert rows.tolist() == [0, 2, 5, 7, 10, 12, 15, 17, 20, 22]
    assert counts.tolist() == [4, 4, *[1] * 8]
    assert extended["validation"].tolist() == [1]
    assert composites.repeat(np.array([7, 8])).tolist() == [7, 8] * 5
    alone = Composites(None, CompositeOptions(count=3, plain=0)).extend_parts(parts, total=5)
    assert sorted(alone["train"] // 5) == [1, 1, 2, 2, 3, 3]
    few = Composites(None, CompositeOptions(count=1, plain=0.25)).extend_parts(parts, total=5)
    assert sorted(few["train"]) == [0, 2, 5, 7]


def test_a_network_with_several_views_has_no_composites():
    variants = Variants.model_validate(
        {"blended": {"network": "blend_cnn", "composites": {"count": 2}}}
    )
    views = dict.fromkeys(("image", "foreground"))
    with pytest.raises(UserError, match="blended looks at image, foreground, and composites"):
        compose(splits=pd.DataFrame({"seed": [0]}), views=views, variants=variants)


def test_masks_of_a_network_that_classifies_alone_cannot_be_refined():
    variant = Variant.model_validate({"network": "normal_cnn", "refine": {}})
    with pytest.raises(UserError, match=r"normal_cnn classifies alone.*refine out of .* sharp"):
        training_of(variant, identity={"variant": "sharp"})


def test_the_ablations_of_stain_robust_differ_in_what_they_name():
    file = PROJECT / "conf/paper/parameters_saliency.yml"
    written = yaml.safe_load(file.read_text())["saliency"]["variants"]
    own = {name: one for name, one in written.items() if name.startswith("stain_robust")}
    variants = Variants.model_validate(own).root
    full = variants["stain_robust"]
    train = StageOptions(epochs=9, batch_size=8, learning_rate=0.1)
    assert merge_stages(train, full.stages)["main"].min_steps == 450
    differing = {
        name.removeprefix("stain_robust_without_"): {
            field for field in Variant.model_fields if getattr(one, field) != getattr(full, field)
        }
        for name, one in variants.items()
        if one is not full
    }
    assert differing == {
        "red_cells": {"composites"},
        "recolour": {"composites"},
        "composites": {"composites"},
        "imagenet": {"weights"},
        "rim": {"losses"},
        "refine": {"refine"},
    }
