"""Views cut by detectors of the same split: what these have learnt, and what is made with them."""

import json

import numpy as np
import pandas as pd
import pytest
from kept_results import result_of

from wbc_pipeline.datasets.results import Result
from wbc_pipeline.errors import UserError
from wbc_pipeline.imaging.packing import accepted
from wbc_pipeline.pipelines.experiment.inputs import cut_steps
from wbc_pipeline.pipelines.experiment.options import Selection, Variants
from wbc_pipeline.pipelines.localize.split_views import rows_behind, train_split_detectors

DETECTED = {
    "network": "concatenated_block_cnn",
    "views": {"image": "roi"},
    "detector": "mask_rcnn_vgg16",
}


def table(dataset, sources, groups=None):
    """Rows of a manifest, a file each."""
    rows = pd.DataFrame({"source_id": sources, "source_group": groups or sources})
    names = [f"{dataset}/{number}" for number in rows.index]
    return rows.assign(dataset=dataset, image_id=names, sha256=names, status="ok")


@pytest.fixture
def copies():
    """Classified copies of five photographs; one of them stands in two parts."""
    images = table("blood_cells", ["B1", "B1", "B2", "B3", "B4", "B2"])
    return images, {part: np.array(rows) for part, rows in PARTS.items()}


PARTS = {"train": [0, 1, 2], "validation": [3], "test": [4, 5]}
PHOTOGRAPHS = ["B1", "B2", "B3", "B4", "B5"]


def test_a_detector_learns_the_photographs_behind_the_training_part_alone(copies):
    images, parts = copies
    photographs = table("blood_cells_originals", PHOTOGRAPHS)
    assert rows_behind(photographs, images, parts, "source").tolist() == [0]


def test_a_photograph_that_is_alike_to_a_tested_one_is_not_learnt(copies):
    images, parts = copies
    alike = ["B1", "B2", "B3", "B1", "B5"]  # B4, which is tested, shows the cell of B1
    photographs = table("blood_cells_originals", PHOTOGRAPHS, groups=alike)
    assert rows_behind(photographs, images, parts, "source").size == 0


def test_under_a_protocol_that_leaks_the_detector_leaks_alike(copies):
    images, parts = copies
    photographs = table("blood_cells_originals", PHOTOGRAPHS)
    assert rows_behind(photographs, images, parts, "random").tolist() == [0, 1]


def test_nothing_annotated_behind_the_training_part_is_said(copies):
    images, parts = copies
    splits = pd.concat(
        images.iloc[rows][["image_id"]].assign(protocol="source", seed=0, fold=0, part=part)
        for part, rows in parts.items()
    )
    annotated = table("lisc", ["a", "b"])
    with pytest.raises(UserError, match=r"source-0: no annotated image of lisc .* boxes="):
        train_split_detectors(
            manifest=images,
            splits=splits,
            annotated_manifest=annotated,
            truth=annotated[["image_id"]],
            annotated=annotated[["image_id"]],
            frames={},
            options=None,
            variants=Variants({"detected": DETECTED}),
            chosen=Selection(["all"]),
            dataset="lisc",
            device="cpu",
        )


def test_a_detector_takes_the_place_of_the_step_that_finds(tmp_path):
    steps = [{"full_resolution": {}}, {"colour_region": {}}, {"resize": {"size": 8}}]
    cut = cut_steps(steps, Result(tmp_path))
    assert cut[1] == {"detector_region": {"model": str(tmp_path)}}
    assert [cut[0], cut[2]] == [steps[0], steps[2]]
    for wrong in (steps[1:], [steps[0], steps[2]]):
        with pytest.raises(UserError, match="begins with full_resolution"):
            cut_steps(wrong, Result(tmp_path))


@pytest.fixture(scope="module")
def detected(run_pipeline, tmp_path_factory):
    """The outputs of one variant whose view a detector of its split cuts."""
    data = tmp_path_factory.mktemp("detected")
    run_pipeline(
        "localize",
        data,
        variants="custom_2_detected",
        protocols="source",
        localize={
            "localization": {"chosen": "light", "fields": {"images": 0}},
            "variants": {"custom_2_detected": DETECTED},
        },
        tracking={"enabled": False},
    )
    return data


def test_no_detector_saw_a_photograph_of_the_validation_or_test_part(detected):
    images = accepted(pd.read_parquet(detected / "02_intermediate/demo/manifest.parquet"))
    splits = pd.read_parquet(detected / "05_model_input/demo/splits.parquet")
    parts = splits[splits["protocol"] == "source"].merge(images, on="image_id")
    held_out = parts[parts["part"] != "train"]
    detector = result_of(
        detected / "06_models/demo/localize/split_detectors", "mask_rcnn_vgg16/source-0"
    )
    learnt = pd.read_parquet(detector / "training_images.parquet")
    assert len(learnt) > 0
    groups = images.loc[images["image_id"].isin(learnt["image_id"]), "source_group"]
    assert not set(groups) & set(held_out["source_group"])
    assert not set(learnt["sha256"]) & set(held_out["sha256"])


def test_what_it_cuts_is_learnt_and_predicted_and_its_key_names_no_folder(detected):
    place = result_of(detected / "04_feature/demo/localize/cut", "roi-mask_rcnn_vgg16/source-0")
    assert str(detected) not in (place / "key.json").read_text()
    training = result_of(detected / "06_models/demo/localize", "custom_2_detected/source-0")
    steps = json.loads((training / "network.json").read_text())["views"]["image"]
    [model] = [step["detector_region"]["model"] for step in steps if "detector_region" in step]
    assert "split_detectors/mask_rcnn_vgg16/source-0" in model
    metrics = pd.read_csv(detected / "08_reporting/demo/localize/metrics.csv")
    assert metrics["variant"].unique().tolist() == ["custom_2_detected"]
