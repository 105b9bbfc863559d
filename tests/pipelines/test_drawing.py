"""The saliency paper's figures, of networks that were saved and predict like trained ones."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result
from wbc_pipeline.evaluation.report.described import caption_of
from wbc_pipeline.keys import run_name
from wbc_pipeline.models import NETWORKS, build_network, save_network
from wbc_pipeline.pipelines.experiment.options import Variants
from wbc_pipeline.pipelines.experiment.runs import iterate_runs, predict_run
from wbc_pipeline.pipelines.experiment.trainings import task_builder
from wbc_pipeline.pipelines.saliency.drawing import DrawingOptions, draw_segmentation

CLASSES, SIZE, IMAGES = ["lymphocyte", "monocyte"], 16, 24
VARIANTS = {
    "joint": {"network": "tiny_joint"},
    "maskless": {"network": "tiny_joint", "arguments": {"segments": False}},
    "alone": {"network": "le_net"},
    "both": {"ensemble": ["joint", "alone"]},
}
DRAWING = {"variants": ["joint", "both"], "sheets": ["joint"], "minor_classes": ["monocyte"]}


@pytest.fixture(scope="module", autouse=True)
def tiny_joint():
    NETWORKS["tiny_joint"] = "tiny_joint:TinyJoint"
    yield
    del NETWORKS["tiny_joint"]


@pytest.fixture(scope="module")
def manifest() -> pd.DataFrame:
    rows = range(IMAGES)
    table = {
        "image_id": [f"{row}.png" for row in rows],
        "dataset": "demo",
        "label": [CLASSES[row % 2] for row in rows],
        "source_group": [f"cell-{row}" for row in rows],
        "domain": ["giemsa" if row < IMAGES / 2 else "wright" for row in rows],
        "status": "ok",
    }
    refused = {"image_id": "broken.png", "status": "truncated"}
    return pd.concat([pd.DataFrame([refused]), pd.DataFrame(table)], ignore_index=True)


@pytest.fixture(scope="module")
def splits(manifest) -> pd.DataFrame:
    """A run of ``source``, and both directions of ``domain``."""
    images = manifest[manifest["status"] == "ok"]
    half = np.where(np.arange(IMAGES) % 4 < 2, "test", "validation")
    runs = [("source", 0, half)] + [
        ("domain", fold, np.where(images["domain"] == name, "test", "validation"))
        for fold, name in enumerate(("giemsa", "wright"))
    ]
    return pd.concat(
        images[["dataset", "image_id"]].assign(protocol=protocol, seed=0, fold=fold, part=part)
        for protocol, fold, part in runs
    )


@pytest.fixture(scope="module")
def views() -> dict[str, ImageArray]:
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, SIZE, SIZE, 3), np.uint8)
    mask = cv2.circle(np.zeros((SIZE, SIZE), np.uint8), (8, 8), 5, 1, -1)
    mask = cv2.circle(mask, (8, 8), 2, 2, -1)
    return {"image": ImageArray(pixels, np.repeat(mask[None], IMAGES, axis=0), None)}


@pytest.fixture(scope="module")
def made(manifest, splits, views, tmp_path_factory) -> dict:
    """The node's inputs."""
    home, variants = tmp_path_factory.mktemp("made"), Variants(VARIANTS)
    images = manifest[manifest["status"] == "ok"].reset_index(drop=True)
    trainings, tables = {}, []
    for name, variant in variants.networks.items():
        for run in iterate_runs(splits, images):
            folder = home / name / run.name
            folder.mkdir(parents=True)
            arguments = {"classes": 2, "image_size": SIZE, **variant.arguments}
            network = build_network(variant.network, arguments, seed=run.fold)
            description = {"name": variant.network, "arguments": arguments, "classes": CLASSES}
            save_network(folder, network, description)
            (folder / "key.json").write_text(json.dumps({"params": {"variant": name}}))
            trainings[f"{name}/{run.name}"] = Result(folder)
            predict_run(
                folder,
                run=run,
                result=Result(folder),
                images=images,
                conditions={"clean": views},
                parts=("validation", "test"),
                device=torch.device("cpu"),
                build_task=task_builder(variant),
            )
            tables.append(Result(folder).table("predictions"))
    alone = pd.concat(table for table in tables if (table["variant"] == "alone").all())
    return {
        "manifest": manifest,
        "views": views,
        "trainings": trainings,
        "predictions": pd.concat([*tables, alone.assign(variant="both")], ignore_index=True),
        "variants": variants,
        "published_classes": {},
        "dataset": "demo",
    }


def draw(made, **drawing):
    options = DrawingOptions.model_validate({**DRAWING, "images": 4, **drawing})
    return draw_segmentation(**made, drawing=options)


def texts_of(figure) -> str:
    figure.canvas.draw()
    return " ".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))


def test_every_figure_is_drawn_and_described(made, tmp_path):
    figures = draw({**made, "published_classes": {"joint": {"monocyte": {"iou_cell": 0.81}}}})
    assert set(figures) == {
        *("cell_overlaps", "nucleus_overlaps", "roc_curves", "precision_recall"),
        *("outlines", "attention_joint"),
    }
    for name, figure in figures.items():
        assert caption_of(figure), name
        figure.savefig(tmp_path / f"{name}.png")
    assert "printed in the paper" in texts_of(figures["cell_overlaps"])
    assert "joint · to wright" in texts_of(figures["roc_curves"])


def test_sheets_show_both_directions_and_failures(made):
    figures = draw(made)
    for protocol in ("source", "to giemsa", "to wright"):
        assert f"joint\n{protocol}" in texts_of(figures["outlines"])
    assert "inside" in texts_of(figures["attention_joint"])
    assert "taken for" in texts_of(figures["attention_joint"])


def test_each_row_is_drawn_by_the_network_that_predicted_it(made, monkeypatch):
    from wbc_pipeline import models

    loaded = []
    load = models.load_network
    monkeypatch.setattr(
        models, "load_network", lambda folder: loaded.append(folder) or load(folder)
    )
    draw(made)
    runs = {run_name("source", 0, 0), run_name("domain", 0, 0), run_name("domain", 0, 1)}
    assert {(folder.parent.name, folder.name) for folder in loaded} == {("joint", r) for r in runs}


def test_the_outline_that_is_drawn_has_the_overlap_that_was_predicted(made, monkeypatch):
    from wbc_pipeline.evaluation.figures import segmentation

    seen = []

    def sheet(overlaps, look, **_):
        rows = overlaps[overlaps["iou_cell"].notna()]
        seen.extend((row["iou_cell"], look(row)) for _, row in rows.iterrows())

    monkeypatch.setattr(segmentation, "overlay_sheet", sheet)
    draw(made)
    assert len(seen) == 36
    for iou, outlines in seen:
        found, true = outlines.found > 127, outlines.true > 0
        assert (found & true).sum() / (found | true).sum() == pytest.approx(iou, abs=0.02)


def test_networks_without_masks_or_maps_leave_their_places_empty(made):
    figures = draw(made, variants=["alone"], sheets=["maskless", "alone"])
    assert {"attention_maskless", "attention_alone"} <= set(figures)
    assert "no predicted mask" in texts_of(figures["cell_overlaps"])
    assert "no predicted mask" in texts_of(figures["outlines"])


def test_where_none_of_the_variants_was_run_the_first_ones_are_drawn(made):
    assert "attention_joint" in draw(made, variants=["full"], sheets=["full"])


def test_leaking_protocols_have_no_sheet_beside_others(made):
    predictions = made["predictions"]
    leaking = predictions[predictions["protocol"] == "source"].assign(protocol="random")
    figures = draw({**made, "predictions": pd.concat([predictions, leaking])})
    assert "random" in texts_of(figures["cell_overlaps"])
    assert "random" not in texts_of(figures["outlines"])


def test_a_set_without_masks_still_has_curves_and_attention(made):
    views = {"image": ImageArray(made["views"]["image"].pixels, None, None)}
    measured = [name for name in made["predictions"] if name.startswith(("inter", "union", "sal"))]
    predictions = made["predictions"].drop(columns=measured)
    figures = draw({**made, "views": views, "predictions": predictions})
    assert "inside" not in texts_of(figures["attention_joint"])
    assert "no predicted mask" in texts_of(figures["nucleus_overlaps"])
    assert "monocyte · source" in texts_of(figures["precision_recall"])


@pytest.mark.parametrize("wrong", [{"variants": []}, {"images": 0}, {"sheets": list("abcd")}])
def test_options_that_draw_nothing_or_too_much_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DrawingOptions.model_validate({**DRAWING, "images": 4, **wrong})


def test_what_is_drawn_has_distinct_colours_however_many_variants_there_are(made):
    others = {f"other_{number}": {"network": "tiny_joint"} for number in range(7)}
    known = made["variants"].model_dump(exclude_defaults=True)
    first, *rest = known
    many = Variants.model_validate(
        {first: known[first], **others, **{name: known[name] for name in rest}}
    )
    figure = draw({**made, "variants": many})["precision_recall"]
    colours = [handle.get_color() for handle in figure.legends[0].legend_handles]
    assert len(colours) == len({*colours}) > 1
