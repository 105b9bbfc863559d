"""The blend paper's further experiments: image size, other people's models, other images."""

import cv2
import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.sources import pbc

UNTRACKED = {"tracking": {"enabled": False}}
SIZED = ["normal_48", "normal_64", "blend_48", "blend_64"]


@pytest.fixture(scope="module")
def sized(run_pipeline, tmp_path_factory):
    """Two networks at two sizes, with three seeds."""
    data = tmp_path_factory.mktemp("sized")
    run_pipeline("blend", data, variants="+".join(SIZED), protocols="random", seeds=3, **UNTRACKED)
    return data


@pytest.fixture
def table(sized):
    return lambda name: pd.read_csv(sized / f"08_reporting/demo/blend/{name}.csv")


def test_networks_are_scored_by_the_size_of_their_images(sized, table):
    sizes = table("image_sizes")
    assert sizes["network"].tolist() == ["blend", "blend", "normal", "normal"]
    assert sizes["size"].tolist() == [8, 16] * 2
    assert sizes["variant"].tolist() == ["blend_48", "blend_64", "normal_48", "normal_64"]
    metrics = table("metrics").groupby("variant")[["accuracy", "log_loss"]].mean()
    for row in sizes.itertuples():
        assert row.accuracy == pytest.approx(metrics.loc[row.variant, "accuracy"])
        assert row.log_loss == pytest.approx(metrics.loc[row.variant, "log_loss"])
    assert "side of its images" in (sized / "08_reporting/demo/blend/report.html").read_text()


def test_views_of_sizes_that_nobody_asked_for_are_not_made(sized, blended):
    made = {
        data: {
            place.name.rpartition("-")[0]
            for place in (data / "04_feature/demo/blend").iterdir()
            if place.is_dir()
        }
        for data in (sized, blended)
    }
    assert made[blended] == {"image", "foreground"}
    asked = {f"{view}_{size}" for view in made[blended] for size in (48, 64)}
    assert made[sized] == made[blended] | asked


def test_a_report_of_one_size_compares_none(blended):
    assert not (blended / "08_reporting/demo/blend/image_sizes.csv").exists()


def test_paired_tests_pool_every_seed(sized, table):
    predictions = pd.read_parquet(sized / "07_model_output/demo/blend/predictions.parquet")
    tested = predictions.query("part == 'test' and variant == 'normal_48'")
    paired = table("paired")
    assert paired["variant"].tolist() == SIZED[1:]
    assert (paired["reference"] == SIZED[0]).all()
    assert (paired["seeds"] == 3).all()
    assert (paired["pairs"] == len(tested)).all()
    assert tested["seed"].nunique() == 3
    assert (paired["sources"] == tested["source_id"].nunique()).all()


def test_ours_stand_where_the_paper_has_other_peoples_models(sized, table):
    models = table("other_models")
    printed = models.iloc[0]
    assert printed["model"] == "the paper's blend"
    assert printed["protocol"] == "random"
    assert printed["published_accuracy"] == "0.9907 / 0.9993"
    assert printed["published_log_loss"] == 0.0565
    assert models["model"].tolist()[1:] == [f"ours, {name}" for name in SIZED]
    metrics = table("metrics").groupby("variant")["accuracy"].mean()
    assert models["accuracy"].tolist()[1:] == pytest.approx(metrics[SIZED].tolist())
    page = (sized / "08_reporting/demo/blend/report.html").read_text()
    assert "Other people&#39;s models" in page
    assert "contain no numbers of that table" in page


@pytest.mark.parametrize(
    "said",
    [
        "3,242 images, the public set 5,000",
        "cannot be a clipped mean cross-entropy at 98.80 %; one of unclipped logits it can be",
        "alpha at the start, Canny&#39;s thresholds and blur, the size of the images, the learning "
        "rate, the batch size, and how many of the 50 epochs at most",
        "a stain channel for grey, edges of pale objects dropped, contours filled as convex hulls",
        "a margin around it",
        "three seeds are the least",
    ],
)
def test_the_report_says_what_is_not_the_papers(sized, said):
    assert said in (sized / "08_reporting/demo/blend/report.html").read_text()


def draw_face(smiles, random):
    """Draw a face of a shade, place and size of its own, uint8 [48, 48, 3]."""
    face = np.full((48, 48, 3), int(random.integers(120, 200)), np.uint8)
    x, y = (int(value) for value in random.integers(21, 28, 2))
    radius = int(random.integers(15, 20))
    skin = tuple(int(value) for value in random.integers(180, 256, 3))
    cv2.circle(face, (x, y), radius, skin, -1)
    for side in (-1, 1):
        cv2.circle(face, (x + side * radius // 3, y - radius // 3), 2, (30, 30, 30), -1)
    mouth = y + radius // 3 if smiles else y + 2 * radius // 3
    start, end = (20, 160) if smiles else (200, 340)
    cv2.ellipse(face, (x, mouth), (radius // 2, radius // 3), 0, start, end, (40, 20, 90), 2)
    return face


@pytest.fixture
def faces(tmp_path):
    """A folder of class folders: faces of two expressions, none of them twice."""
    random = np.random.default_rng(0)
    for expression in ("glad", "sad"):
        folder = tmp_path / "faces" / expression
        folder.mkdir(parents=True)
        for number in range(14):
            face = draw_face(expression == "glad", random)
            cv2.imwrite(str(folder / f"{number}.png"), face)
    return tmp_path / "faces"


def test_the_experiment_on_expressions_runs_ten_epochs_on_a_folder_of_faces(
    run_pipeline, faces, tmp_path
):
    run_pipeline(
        "blend",
        tmp_path / "data",
        dataset="image_folder",
        sources={"image_folder": {"folder": str(faces)}},
        variants="normal+blend",
        protocols="random",
        blend={"train": {"epochs": 10, "patience": 10}},
        **UNTRACKED,
    )
    reports = tmp_path / "data/08_reporting/image_folder/blend"
    runs = pd.read_csv(reports / "runs.csv")
    assert runs["variant"].tolist() == ["normal", "blend"]
    assert runs["epochs"].tolist() == [10, 10]
    assert set(pd.read_csv(reports / "per_class.csv")["label"]) == {"glad", "sad"}
    page = (reports / "report.html").read_text()
    assert "faces that the tests draw" in page
    assert "published numbers are of other images (leukemia5)" in page


@pytest.fixture
def few_cells(real_data, tmp_path):
    """The first images of each class of ``pbc``."""
    download = real_data / pbc.FOLDER
    if not download.is_dir():
        pytest.skip(f"no {pbc.FOLDER} in {real_data}")
    for label in pbc.COARSE:
        (tmp_path / "raw" / pbc.FOLDER / label).mkdir(parents=True)
        for file in sorted((download / label).iterdir())[:10]:
            (tmp_path / "raw" / file.relative_to(real_data)).symlink_to(file)
    return tmp_path / "raw"


def test_the_unconfounded_twin_tells_eight_classes_of_one_laboratory_apart(
    run_pipeline, few_cells, tmp_path
):
    run_pipeline(
        "blend",
        tmp_path / "data",
        dataset="pbc",
        raw=str(few_cells),
        protocols="source",
        variants="normal+blend",
        **UNTRACKED,
    )
    manifest = pd.read_parquet(tmp_path / "data/02_intermediate/pbc/manifest.parquet")
    assert set(manifest["domain"]) == {"PBC"}
    reports = tmp_path / "data/08_reporting/pbc/blend"
    metrics = pd.read_csv(reports / "metrics.csv")
    assert metrics["variant"].tolist() == ["normal", "blend"]
    assert (metrics["protocol"] == "source").all()
    assert set(pd.read_csv(reports / "per_class.csv")["label"]) == {*pbc.COARSE}
