import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from kept_results import result_of, write_times
from pydantic import ValidationError
from skimage.metrics import peak_signal_noise_ratio

from wbc_pipeline.datasets.images import ImageArray, open_images
from wbc_pipeline.datasets.results import Result, run_task
from wbc_pipeline.errors import UserError
from wbc_pipeline.imaging.chain import build_chain
from wbc_pipeline.models import load_network
from wbc_pipeline.pipelines.experiment.inputs import PartedArray, learnt_digest, views_in_run
from wbc_pipeline.pipelines.experiment.nodes import compose, train
from wbc_pipeline.pipelines.experiment.options import Selection, Variants
from wbc_pipeline.pipelines.experiment.restorers import pairs_of
from wbc_pipeline.pipelines.experiment.restoring import restore_views
from wbc_pipeline.pipelines.experiment.shifting import (
    degrade_parts,
    make_shifted_views,
    shift_chain,
)
from wbc_pipeline.pipelines.experiment.study import StudyOptions, study_preprocessing
from wbc_pipeline.pipelines.preprocessing.nodes import make_view
from wbc_pipeline.pipelines.preprocessing.options import (
    PreprocessingOptions,
    Restorers,
    ShiftOptions,
    Views,
)
from wbc_pipeline.pipelines.reporting.nodes import describe_shift
from wbc_pipeline.pipelines.reporting.options import ScoreOptions
from wbc_pipeline.training.options import StageOptions, TrainerOptions
from wbc_pipeline.training.predict import predict_probabilities
from wbc_pipeline.training.tasks.restoration import restore

MILD = [{"random_degradation": {"severities": [1, 1, 1, 0, 0, 0], "seed": 3}}]
HARSH = [{"random_degradation": {"severities": [0, 0, 0, 1, 1, 1], "seed": 3}}]
SHIFT = {"train": MILD, "test": HARSH}
SCHEDULE = {"epochs": 5, "batch_size": 8, "learning_rate": 0.02, "keep": "last"}
RESTORERS = {"small": {"arguments": {"filters": [4, 8]}, "train": SCHEDULE}}
RESTORED = {"network": "normal_cnn", "restorer": "small"}
FEW = {"variants": "normal", "protocols": "random", "tracking": {"enabled": False}}


@pytest.fixture(scope="module")
def shifted(run_pipeline, blended, tmp_path_factory):
    """One of blend's variants on parts that are shifted, and the same behind a restorer."""
    data = shutil.copytree(blended, tmp_path_factory.mktemp("shifted") / "data")
    changes = {"shift": SHIFT, "restorers": RESTORERS, "variants": {"restored": RESTORED}}
    run_pipeline("blend", data, blend=changes, **FEW | {"variants": "normal+restored"})
    return data


@pytest.fixture
def views(shifted):
    folder = shifted / "04_feature/demo/blend"
    latest = json.loads((folder / "latest.json").read_text())
    return {name: open_images(Result(folder / place)) for name, place in latest.items()}


@pytest.fixture
def rows(shifted):
    """Row numbers by part."""
    splits = pd.read_parquet(shifted / "05_model_input/demo/splits.parquet")
    manifest = pd.read_parquet(shifted / "02_intermediate/demo/manifest.parquet")
    run = splits[(splits["protocol"] == "random") & (splits["seed"] == 0)]
    return {
        part: np.flatnonzero(manifest["image_id"].isin(images))
        for part, images in run.groupby("part")["image_id"]
    }


def test_each_view_that_is_looked_at_is_made_once_more_for_each_part_that_is_shifted(views):
    assert {"image", "foreground"} < set(views)
    shifted = {name for name in views if "@" in name}
    assert shifted == {f"image@{part}" for part in SHIFT}  # chosen variants look at no other
    assert views["image@test"].steps == [*HARSH, *views["image"].steps]
    gap = {
        name: np.abs(views[name].pixels - views["image"].pixels.astype(int)).mean()
        for name in ("image@train", "image@test")
    }
    assert 0 < gap["image@train"] < gap["image@test"]


def test_a_run_takes_each_row_from_the_array_of_its_part(views, rows):
    in_run = views_in_run(views, rows)
    assert set(in_run) == {name for name in views if "@" not in name}
    image = in_run["image"].pixels
    for part, name in (("train", "image@train"), ("test", "image@test"), ("validation", "image")):
        np.testing.assert_array_equal(image[rows[part]], views[name].pixels[rows[part]])
    swapped = views_in_run(views | {"image@test": views["image@train"]}, rows)
    assert swapped["image"].digest != in_run["image"].digest


def keys_of_trainings(shifted, views, folder):
    """Keys that the trainings of both variants would have with these views."""
    manifest = pd.read_parquet(shifted / "02_intermediate/demo/manifest.parquet")
    splits = pd.read_parquet(shifted / "05_model_input/demo/splits.parquet")
    trained = Result(result_of(shifted / "06_models/demo/blend/restorers", "small/random-0"))
    known = {"manifest": manifest, "splits": splits.query("protocol == 'random'"), "views": views}
    known |= {"restorers": Restorers.model_validate(RESTORERS), "device": "cpu"}
    [restored] = restore_views(**known, trained={"small/random-0": trained}).values()
    folder.mkdir()
    (folder / "key.json").write_text(json.dumps(restored.key.as_dict()))
    image = views["image"]
    tasks = train(
        **known,
        images=open_images(Result(result_of(shifted / "03_primary/demo/images"))),
        composites={},
        paper="blend",
        dataset="demo",
        variants=Variants.model_validate(
            {"normal": {"network": "normal_cnn"}, "restored": RESTORED}
        ),
        schedule=StageOptions.model_validate(SCHEDULE),
        trainer=TrainerOptions(),
        restored={"small/random-0": ImageArray(image.pixels, image.masks, Result(folder))},
    )
    return {name: task.key for name, task in tasks.items()}


def test_no_training_depends_on_what_the_test_part_shows(shifted, views, tmp_path):
    image, test, train_part = (views[name] for name in ("image", "image@test", "image@train"))
    keys, retested, relearnt, untested = (
        keys_of_trainings(shifted, {"image": image} | parts, tmp_path / name)
        for name, parts in (
            ("as it is", {"image@test": test, "image@train": train_part}),
            ("test", {"image@test": train_part, "image@train": train_part}),
            ("train", {"image@test": test, "image@train": test}),
            ("no test", {"image@train": train_part}),
        )
    )
    assert set(keys) == {"normal/random-0", "restored/random-0"}
    assert keys == retested == untested
    assert all(keys[name] != relearnt[name] for name in keys)


def test_predictions_are_of_the_shifted_test_images(shifted, views, rows):
    network, description = load_network(
        result_of(shifted / "06_models/demo/blend", "normal/random-0")
    )
    assert description["views"]["image"] == views["image"].steps  # a new image comes as it is
    saved = pd.read_parquet(shifted / "07_model_output/demo/blend/predictions.parquet")
    saved = saved.query("variant == 'normal' and part == 'test' and seed == 0")
    columns = [f"p_{name}" for name in description["classes"]]
    expected, _ = predict_probabilities(
        network, [views["image@test"].pixels], rows["test"], device=torch.device("cpu")
    )
    found = saved.set_index("image_id")[columns]
    manifest = pd.read_parquet(shifted / "02_intermediate/demo/manifest.parquet")
    found = found.loc[manifest["image_id"].iloc[rows["test"]]].to_numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-4)


def test_curves_degrade_what_is_shifted_already(shifted, views):
    key = json.loads(
        (
            result_of(shifted / "05_model_input/demo/blend/degraded", "image/noise-0.35")
            / "key.json"
        ).read_text()
    )
    assert key["params"]["shift"] == HARSH


def test_a_restorer_learns_from_the_training_part_alone_and_restores_what_the_run_shows(
    shifted, views, rows
):
    folder = result_of(shifted / "06_models/demo/blend/restorers", "small/random-0")
    key = json.loads((folder / "key.json").read_text())
    pairs = {"degraded": views["image@train"].digest, "clean": views["image"].digest}
    assert key["data"]["views"] == pairs
    restorer, _ = load_network(folder)
    restored = open_images(
        Result(result_of(shifted / "05_model_input/demo/blend/restored", "small/random-0"))
    )
    image = views_in_run(views, rows)["image"].pixels
    some = rows["test"][:3]
    by_hand = restore(restorer, image, some, device=torch.device("cpu"))
    np.testing.assert_array_equal(restored.pixels[some], by_hand)
    assert (restored.pixels[some] != image[some]).any()


def test_a_variant_behind_a_restorer_sees_what_that_restored_clean_and_degraded(shifted):
    trained = json.loads(
        (result_of(shifted / "06_models/demo/blend", "restored/random-0") / "key.json").read_text()
    )
    restored = Result(result_of(shifted / "05_model_input/demo/blend/restored", "small/random-0"))
    assert trained["data"]["views"]["image"] == learnt_digest(open_images(restored))
    predictions = pd.read_parquet(
        shifted / "07_model_output/demo/blend/robustness_predictions.parquet"
    )
    conditions = predictions.groupby("variant")["condition"].unique()
    assert set(conditions["restored"]) == set(conditions["normal"]) == {"clean", "noise 0.35"}


def test_the_study_holds_each_method_against_the_clean_test_images(shifted, views, rows):
    restored = Result(result_of(shifted / "05_model_input/demo/blend/restored", "small/random-0"))
    study = {"methods": {"none": "normal", "unet": "restored", "absent": "blend"}, "images": 8}
    predictions = pd.read_parquet(shifted / "07_model_output/demo/blend/predictions.parquet")
    items = study_preprocessing(
        predictions=predictions,
        manifest=pd.read_parquet(shifted / "02_intermediate/demo/manifest.parquet"),
        splits=pd.read_parquet(shifted / "05_model_input/demo/splits.parquet"),
        views=views,
        restored={"small/random-0": open_images(restored)},
        restorers=Restorers.model_validate(RESTORERS),
        variants=Variants.model_validate(
            {"normal": {"network": "normal_cnn"}, "restored": RESTORED}
        ),
        preprocessing_study=StudyOptions.model_validate(study),
        dataset="demo",
        score=ScoreOptions(bins=5, resamples=50, level=0.95),
    )
    table = items["preprocessing_study"].set_index("method")
    assert list(table.index) == ["none", "unet"]
    harm = peak_signal_noise_ratio(
        views["image"].pixels[rows["test"]], views["image@test"].pixels[rows["test"]]
    )
    assert abs(table.loc["none", "psnr"] - harm) < 8  # of some of the images, mean of logarithms
    assert table.loc["none", "psnr"] < 60 and table["images"].eq(table["images"].iloc[0]).all()
    assert table.loc["unet", "macro_f1"] == pytest.approx(
        table.loc["none", "macro_f1"] + table.loc["unet", "difference"]
    )


def test_a_restorer_without_degraded_pairs_is_refused(views):
    plain = {name: view for name, view in views.items() if "@" not in name}
    with pytest.raises(UserError, match=r"say under shift\.train how to degrade it"):
        pairs_of("image", plain)
    pairs = pairs_of("image", {**plain, "image@pairs": views["image@test"]})
    assert pairs["degraded"] is views["image@test"]


def test_the_report_says_how_parts_were_shifted(shifted):
    page = (shifted / "08_reporting/demo/blend/report.html").read_text()
    assert "by the part they play: train:" in page


def test_without_a_shift_everything_is_found_as_it_was(run_pipeline, blended, tmp_path):
    data = shutil.copytree(blended, tmp_path / "data")
    kept = "04*/**/key.json", "06*/**/key.json", "07*/demo/blend/runs/**/key.json"
    before = [write_times(data, pattern) for pattern in kept]
    run_pipeline("blend", data, blend={"shift": {"train": []}}, **FEW)
    assert all(before) and [write_times(data, pattern) for pattern in kept] == before


def test_steps_of_a_shift_stand_behind_full_resolution():
    for steps in ([{"full_resolution": {}}, {"resize": {"size": 8}}], [{"resize": {"size": 8}}]):
        chain = shift_chain(steps, HARSH)
        build_chain(chain)
        assert [step for step in chain if step not in HARSH] == steps


@pytest.fixture
def shifting(shifted):
    """What the nodes take that shift, with variants that look at three views or at one."""
    resize = {"resize": {"size": 8}}
    chains = {
        "image": [resize],
        "blurred": [{"median_filter": {"size": 3}}, resize],
        "files": [{"full_resolution": {}}, resize],
        "cells": [{"full_resolution": {}}, {"stain_region": {}}, resize],
        "unused": [resize],
    }
    variants = {
        name: {"network": "normal_cnn", "views": {"image": name}}
        for name in chains
        if name != "unused"
    }
    return {
        "images": open_images(Result(result_of(shifted / "03_primary/demo/images"))),
        "manifest": pd.read_parquet(shifted / "02_intermediate/demo/manifest.parquet"),
        "chains": Views.model_validate(chains),
        "options": PreprocessingOptions(backend="threads", workers=1, scheduler=None, views={}),
        "shift": ShiftOptions.model_validate(SHIFT),
        "dataset": "demo",
        "restorers": Restorers(),
        "variants": Variants.model_validate(variants),
        "chosen": Selection(["all"]),
    }


def run(tasks, folder):
    """Make the arrays of tasks."""
    return {name: open_images(run_task(folder, name, task)) for name, task in tasks.items()}


def test_parts_are_degraded_once_and_views_that_begin_there_are_as_their_chains_make_them(
    shifting, tmp_path
):
    degraded = run(degrade_parts(**shifting), tmp_path / "degraded")
    assert set(degraded) == {
        f"{begin}@{part}" for begin in ("packed", "full_resolution") for part in SHIFT
    }
    plainly = make_shifted_views(**shifting, degraded={})
    tasks = make_shifted_views(**shifting, degraded=degraded)
    shown = ("image", "blurred", "files", "cells")
    assert {name for name in tasks if "@" in name} == {f"{v}@{p}" for v in shown for p in SHIFT}
    assert {name: task.key for name, task in tasks.items()} == {
        name: task.key for name, task in plainly.items()
    }
    of_test = {f"{view}@test" for view in shown}
    begun, chained = (
        run({name: which[name] for name in of_test}, tmp_path / folder)
        for which, folder in ((tasks, "begun"), (plainly, "chained"))
    )
    for name in of_test:
        np.testing.assert_array_equal(begun[name].pixels, chained[name].pixels)
        np.testing.assert_array_equal(begun[name].masks, chained[name].masks)
    assert (
        begun["cells@test"]
        .result.table("regions")
        .equals(chained["cells@test"].result.table("regions"))
    )


def test_files_of_several_sizes_are_degraded_by_the_chains_of_their_views(shifting):
    manifest = shifting["manifest"].copy()
    manifest.loc[manifest.index[0], "width"] += 1
    tasks = degrade_parts(**shifting | {"manifest": manifest})
    assert set(tasks) == {f"packed@{part}" for part in SHIFT}


def test_what_a_single_view_begins_with_is_not_kept(shifting):
    assert degrade_parts(**shifting | {"chosen": Selection(["image"])}) == {}


@pytest.mark.parametrize(
    ("shift", "message"),
    [
        ({"train": [{"resize": {"size": 8}}]}, "leave out full_resolution"),
        ({"test": [{"full_resolution": {}}]}, "leave out full_resolution"),
        ({"test": [{"otsu_mask": {}}]}, "finds something"),
        ({"test": [{"random_degradation": {"severities": [1]}}]}, "give six weights"),
        ({"tests": HARSH}, "tests"),
    ],
)
def test_a_wrong_shift_is_refused(shift, message):
    with pytest.raises(ValidationError, match=message):
        ShiftOptions.model_validate(shift)


@pytest.mark.parametrize(
    ("chosen", "names"), [("normal", ["image"]), ("restored", ["image", "image@pairs"])]
)
def test_what_comes_degraded_is_not_shifted_and_the_report_says_so(
    monkeypatch, shifting, chosen, names
):
    from wbc_pipeline.sources import combined, demo

    shift = ShiftOptions.model_validate(SHIFT)
    monkeypatch.setattr(demo, "COMES_DEGRADED", True, raising=False)
    assert combined.come_degraded("demo+pbc")
    variants = {"normal": {"network": "normal_cnn"}, "restored": RESTORED}
    changes = {
        "restorers": Restorers.model_validate(RESTORERS),
        "chains": Views.model_validate({"image": [{"resize": {"size": 8}}]}),
        "variants": Variants.model_validate(variants),
        "chosen": Selection([chosen]),
    }
    assert list(make_shifted_views(**shifting | changes, degraded={})) == names
    [note] = describe_shift(shift, "demo")
    assert "demo come degraded" in note
    assert describe_shift(None, "demo") == []


def test_images_with_masks_are_not_padded_away_from_them(shifted):
    manifest = pd.read_parquet(shifted / "02_intermediate/demo/manifest.parquet")
    manifest = manifest.assign(width=manifest["height"] + 1)
    assert manifest["mask_path"].notna().any()
    with pytest.raises(UserError, match="pad_square pads images, and not their masks"):
        make_view(
            open_images(Result(result_of(shifted / "03_primary/demo/images"))),
            manifest,
            [{"full_resolution": {}}, {"pad_square": {}}, {"resize": {"size": 8}}],
            PreprocessingOptions(backend="threads", workers=1, scheduler=None, views={}),
        )


def test_composites_of_shifted_parts_are_refused(views):
    variants = Variants.model_validate(
        {"composed": {"network": "normal_cnn", "composites": {"count": 2}}}
    )
    splits = pd.DataFrame({"seed": [0]})
    with pytest.raises(UserError, match="set shift to null"):
        compose(splits=splits, views=views, variants=variants)


def test_a_row_without_a_part_is_black_and_masks_follow_their_images(views):
    some = views["image"]
    parted = PartedArray(some, {}, {"train": np.array([2, 0])})
    assert not parted.pixels[1].any()
    np.testing.assert_array_equal(parted.pixels[[0, 2]], some.pixels[[0, 2]])
    if some.masks is not None:
        np.testing.assert_array_equal(parted.masks[[0, 2]], some.masks[[0, 2]])
