import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.evaluation.audit.ceiling import share_protocol
from wbc_pipeline.pipelines.splitting.options import SplittingOptions
from wbc_pipeline.pipelines.suspects.nodes import deal_folds
from wbc_pipeline.pipelines.suspects.options import FoldOptions

SPLITTING = SplittingOptions(validation=0.15, test=0.2, folds=1, max_unknown=0.0)
JUDGE = {"to_nodes": ["audit.report.judge_labels"]}


def make_manifest(cells, copies=3, **columns):
    """Copies of so many cells of each class."""
    rows = [
        {
            "label": label,
            "source_group": f"{label} {cell}",
            "image_id": f"{label}/{cell}-{copy}.png",
        }
        for label, count in cells.items()
        for cell in range(count)
        for copy in range(copies)
    ]
    nothing = {"filename_group": None, "published_part": None, "domain": None, "patient": None}
    manifest = pd.DataFrame(rows).assign(dataset="made", status="ok", **nothing)
    return manifest.assign(source_id=manifest["source_group"], **columns)


def deal(manifest, **options):
    defaults = {"folds": 5, "seeds": 1, "min_cells": 5, "images_per_cell": 2, "shares": []}
    return deal_folds(manifest, FoldOptions(**defaults | options), SPLITTING)


def test_every_cell_is_judged_once_by_what_was_trained_on_others():
    manifest = make_manifest({"monocyte": 20, "neutrophil": 30})
    splits, left_out = deal(manifest)
    rows = splits.merge(manifest, on="image_id")
    assert left_out.empty
    assert set(rows["part"]) == {"train", "test"}
    assert (rows.groupby(["fold", "source_group"])["part"].nunique() == 1).all()
    tested = rows[rows["part"] == "test"]
    assert tested.groupby("source_group")["fold"].nunique().eq(1).all()
    assert tested["source_group"].nunique() == 50


def test_copies_of_a_cell_beyond_some_are_not_looked_at():
    manifest = make_manifest({"monocyte": 10, "neutrophil": 10}, copies=9)
    splits, _ = deal(manifest, images_per_cell=4)
    shown = manifest[manifest["image_id"].isin(splits["image_id"])]
    assert shown.groupby("source_group").size().eq(4).all()


def test_an_image_of_unknown_source_is_dealt_by_itself():
    manifest = make_manifest({"monocyte": 10, "neutrophil": 10}, source_group=None)
    splits, _ = deal(manifest)
    assert splits["image_id"].nunique() == 60


def test_smaller_shares_of_the_training_cells_lie_in_larger_ones():
    manifest = make_manifest({"monocyte": 20, "neutrophil": 40})
    splits, _ = deal(manifest, shares=[25, 50])
    rows = splits.merge(manifest[["image_id", "source_group"]], on="image_id")
    for _, fold in rows.groupby("fold"):
        train = fold[fold["part"] == "train"].groupby("protocol")["source_group"].agg(set)
        quarter, half, whole = (train[share_protocol(share)] for share in (25, 50, 100))
        assert quarter < half < whole
        assert len(quarter) == pytest.approx(len(whole) / 4, abs=2)
        tested = fold[fold["part"] == "test"].groupby("protocol")["image_id"].agg(set)
        assert len(set(map(frozenset, tested))) == 1


def test_a_class_of_few_cells_is_named_and_left_out():
    manifest = make_manifest({"basophil": 3, "monocyte": 10, "neutrophil": 10})
    splits, left_out = deal(manifest)
    assert not splits["image_id"].str.startswith("basophil").any()
    assert left_out.to_dict("records") == [{"label": "basophil", "cells": 3, "needed": 5}]


def test_a_set_of_one_judgeable_class_is_too_small():
    splits, left_out = deal(make_manifest({"basophil": 3, "monocyte": 10}))
    assert splits.empty
    assert left_out["label"].tolist() == ["basophil"]


def test_fewer_cells_than_folds_are_refused():
    with pytest.raises(ValueError, match="raise min_cells"):
        FoldOptions(folds=5, seeds=1, min_cells=4, images_per_cell=2, shares=[])


def test_shares_may_be_written_as_text():
    assert FoldOptions(
        folds=5, seeds=1, min_cells=5, images_per_cell=2, shares="25+50"
    ).shares.root == [25, 50]


@pytest.mark.parametrize("shares", [[0], [100], "50+120"])
def test_shares_of_nothing_or_of_all_cells_are_refused(shares):
    with pytest.raises(ValueError, match="shares"):
        FoldOptions(folds=5, seeds=1, min_cells=5, images_per_cell=2, shares=shares)


def test_an_audit_of_a_small_set_says_that_labels_were_not_judged(run_pipeline, tmp_path):
    run_pipeline("audit", tmp_path, audit={"suspects": {"split": {"min_cells": 50}}})
    reports = tmp_path / "08_reporting/demo/audit"
    found = pd.read_csv(reports / "defects.csv")["finding"]
    assert found.str.contains("too small to say which labels are suspect").sum() == 1
    assert pd.read_csv(reports / "judged_cells.csv").empty
    assert "Suspect labels by class" not in (reports / "report.html").read_text()


@pytest.fixture(scope="module")
def planted(real_data, tmp_path_factory):
    """1,000 PBC cells as a user's table, and those 5 % of them whose label was changed."""
    home = real_data / "PBC_dataset_normal_DIB"
    files = sorted(path for path in home.glob("*/*") if path.suffix == ".jpg")
    cells = pd.DataFrame({"path": [str(path.relative_to(home)) for path in files]})
    cells["label"] = [path.parent.name for path in files]
    cells = cells.sample(1000, random_state=0, ignore_index=True)
    rng = np.random.default_rng(0)
    changed = rng.choice(len(cells), 50, replace=False)
    classes = sorted(cells["label"].unique())
    for row in changed:
        others = [name for name in classes if name != cells.loc[row, "label"]]
        cells.loc[row, "label"] = rng.choice(others)
    folder = tmp_path_factory.mktemp("planted")
    cells.to_csv(folder / "images.csv", index=False)
    return {"file": str(folder / "images.csv"), "images": str(home)}, set(
        cells.loc[changed, "path"]
    )


@pytest.mark.slow
def test_changed_labels_of_real_cells_are_found(run_pipeline, planted, tmp_path):
    table, changed = planted
    own = {"dataset": "table", "sources": {"table": table}, "tracking": {"enabled": False}}
    run_pipeline("audit", tmp_path, env="base", how=JUDGE, **own)
    cells = pd.read_csv(tmp_path / "08_reporting/table/audit/judged_cells.csv")
    found = set(cells.loc[cells["suspect"], "image_id"])
    right = len(found & changed)
    recall, precision = right / len(changed), right / len(found)
    print(f"{len(found)} suspects, recall {recall:.2f}, precision {precision:.2f}")  # noqa: T201
    assert recall >= 0.7
    assert precision >= 0.7
