import json
import shutil
from importlib import resources

import cv2
import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.pipelines.audit.nodes import split_for_audit, write_report
from wbc_pipeline.pipelines.audit.options import CompareOptions, PinOptions
from wbc_pipeline.pipelines.audit.tracing import pin_sources
from wbc_pipeline.pipelines.splitting.nodes import SplitError
from wbc_pipeline.pipelines.splitting.options import Protocols, SplittingOptions

# In the order of the report.
HEADINGS = (
    "The price of a leak",
    "What each protocol leaks",
    "Suspect labels by class",
    "Sources recovered from the pixels",
    "Conflicting labels",
    "Images that show the same spot",
    "Images of each class",
    "Guessing without the cell",
    "How images look",
    "Cells in all data sets",
    "Trainings",
)
AS_SHIPPED = {"image_size": 128}  # the size that overlaps were looked at


@pytest.fixture(scope="module")
def audited(run_pipeline, tmp_path_factory):
    """The reports of a whole audit of the demo set."""
    data = tmp_path_factory.mktemp("audited")
    run_pipeline("audit", data, audit={"suspects": {"split": {"shares": "50"}}})
    return data / "08_reporting/demo/audit"


def audit(run_pipeline, data, dataset, raw):
    run_pipeline("audit", data, dataset=dataset, raw=str(raw), ingestion=AS_SHIPPED)
    reports = data / "08_reporting" / dataset / "audit"
    return pd.read_csv(reports / "defects.csv"), reports


def findings(defects, words):
    return defects.loc[defects["finding"].str.contains(words), "finding"]


def test_an_audit_writes_a_report_with_every_table_and_figure_beside_it(audited):
    report = (audited / "report.html").read_text()
    assert "DEMO DATA" in report
    items = {}
    for index in audited.glob(".*.json"):
        items |= json.loads(index.read_text())
    kinds = pd.Series([item["kind"] for item in items.values()]).value_counts()
    assert kinds.to_dict() == {"table": 26, "figure": 16}
    for name, item in items.items():
        if item["kind"] == "figure":
            assert (audited / f"{name}.png").stat().st_size > 1000
            assert f'id="figure-{name}"' in report
        else:
            table = pd.read_csv(audited / f"{name}.csv")
            assert len(table) == 0 or f'id="table-{name}"' in report


def test_the_report_begins_with_the_findings(audited):
    report = (audited / "report.html").read_text()
    assert report.index('id="table-defects"') < report.index("<h2>")
    for heading in HEADINGS:
        assert f"<h2>{heading}</h2>" in report


def test_the_leak_of_the_demo_set_is_named_and_source_has_none(audited):
    leaks = pd.read_csv(audited / "leaks.csv").set_index("protocol")
    assert leaks["images_leaked"]["random"] > 0.3  # two views of a cell
    assert leaks["images_leaked"]["source"] == 0
    assert len(findings(pd.read_csv(audited / "defects.csv"), "protocol random")) > 0


def test_every_protocol_that_the_data_allow_is_priced(audited):
    price = pd.read_csv(audited / "price.csv").set_index("protocol")
    assert set(price.index) == {"random", "source", "published"}
    assert price["accuracy"].between(0, 1).all()
    assert price["accuracy_difference"]["source"] == 0
    assert "filename was not compared" in (audited / "report.html").read_text()


def test_an_audit_writes_down_the_source_and_split_of_each_file(audited):
    table = pd.read_csv(audited / "pinned_sources.csv.gz").set_index("image_id")
    layers = audited.parents[2]
    manifest = pd.read_parquet(layers / "02_intermediate/demo/manifest.parquet")
    manifest = manifest.set_index("image_id")
    assert table["sha256"].equals(manifest["sha256"])
    assert table["source"].equals(manifest["source_id"])
    assert table["source_group"].equals(manifest["source_group"])
    splits = pd.read_parquet(layers / "05_model_input/demo/audit/splits.parquet")
    dealt = splits.query("protocol == 'source' and seed == 0").set_index("image_id")
    assert len(dealt)
    assert table.loc[dealt.index, "part"].equals(dealt["part"])
    assert table["fold"].isna().all()  # a class of these smears has four cells, too few for five


@pytest.mark.slow
@pytest.mark.parametrize("name", ["blood_cells", "segmentation_wbc", "lisc", "all_idb2"])
def test_pinned_tables_are_made_again_as_they_are(run_pipeline, real_data, tmp_path, name):
    kept = resources.files("wbc_pipeline.sources.pinned") / f"{name}.csv.gz"
    run_pipeline(
        "audit",
        tmp_path,
        dataset=name,
        raw=str(real_data),
        ingestion=AS_SHIPPED,
        audit={"pin": {"rescaled": name in ("lisc", "all_idb2")}},
        how={"to_nodes": ["audit.inspection.pin_sources"]},
    )
    made = tmp_path / "08_reporting" / name / "audit/pinned_sources.csv.gz"
    pd.testing.assert_frame_equal(pd.read_csv(made), pd.read_csv(kept))


def test_where_no_split_by_source_is_possible_none_is_written_down(caplog):
    options = SplittingOptions(validation=0.15, test=0.15, folds=1, max_unknown=0.05)
    images = table(["a", "b"]).assign(sha256="0", source_group=None)
    sources, overlaps = pin_sources(images, {}, options, PinOptions(rescaled=False))
    assert sources[["fold", "part"]].isna().all(axis=None)
    assert len(sources) == len(images)
    assert len(overlaps) == 0
    assert "No 5-fold split stands in the pinned sources: A split by source needs" in caplog.text


def test_pinned_sources_are_traced_without_the_photographs(
    run_pipeline, few_photographs, tmp_path, caplog
):
    originals = few_photographs / "blood-cells/dataset-master/dataset-master/JPEGImages"
    parameters = {"dataset": "blood_cells", "raw": str(few_photographs)}
    how = {"to_nodes": ["audit.report.trace_sources"]}
    reports = tmp_path / "data/08_reporting/blood_cells/audit"
    first, *_ = sorted(originals.iterdir())
    first.unlink()
    first.write_bytes(b"")
    run_pipeline("audit", tmp_path / "data", **parameters, how=how)
    assert f"{first} is not shown beside its copies: empty file." in caplog.text
    before = pd.read_csv(reports / "originals.csv")
    shutil.rmtree(originals)
    run_pipeline("audit", tmp_path / "data", **parameters, how=how)
    assert "Copies are shown without their originals. No folder" in caplog.text
    pd.testing.assert_frame_equal(pd.read_csv(reports / "originals.csv"), before)
    assert before["labels_disagree"].eq(0).all()
    assert before["copies"].max() > 100


def test_a_second_audit_trains_nothing(run_pipeline, tmp_path, caplog):
    run_pipeline("audit", tmp_path)
    weights = list((tmp_path / "06_models").rglob("weights.safetensors"))
    assert len(weights) == 5  # one a protocol, and one a fold of the labels
    before = [file.stat().st_mtime_ns for file in weights]
    run_pipeline("audit", tmp_path)
    assert [file.stat().st_mtime_ns for file in weights] == before


def test_lisc_shows_cells_several_times(run_pipeline, real_data, tmp_path):
    defects, reports = audit(run_pipeline, tmp_path, "lisc", real_data)
    assert len(findings(defects, "show what another file shows")) == 1
    listed = pd.read_csv(reports / "duplicate_images.csv").set_index("image_id")
    assert listed["group"]["baso/2.jpg"] == listed["group"]["baso/50.jpg"]
    assert listed["kind"]["baso/2.jpg"] == "identical file"
    assert listed["kind"]["baso/30.jpg"] == "same spot"


def test_one_cell_under_two_labels_is_named(run_pipeline, real_data, tmp_path):
    defects, reports = audit(run_pipeline, tmp_path, "segmentation_wbc", real_data)
    assert "Dataset 1/060.bmp" in findings(defects, "carry different labels").item()
    conflicts = set(pd.read_csv(reports / "conflicts.csv")["image_id"])
    assert conflicts == {"Dataset 1/060.bmp", "Dataset 1/090.bmp"}


def test_an_audit_gets_by_with_odd_labels_sizes_and_rare_classes(run_pipeline, tmp_path):
    random = np.random.default_rng(0)
    for label, images in {"0": 12, "1": 12, "NA": 12, "single": 1}.items():
        (tmp_path / "raw" / label).mkdir(parents=True)
        for number in range(images):
            size = (*random.integers(40, 90, 2), 3)
            noise = cv2.GaussianBlur(random.integers(0, 256, size, np.uint8), (0, 0), 3)
            cv2.imwrite(str(tmp_path / "raw" / label / f"{number}.png"), noise)
    run_pipeline(
        "audit",
        tmp_path / "data",
        dataset="image_folder",
        sources={"image_folder": {"folder": str(tmp_path / "raw")}},
    )
    reports = tmp_path / "data/08_reporting/image_folder/audit"
    assert "single" in (reports / "classes.csv").read_text()
    assert len(pd.read_csv(reports / "pinned_sources.csv.gz")) == 37
    predictions = pd.read_parquet(
        tmp_path / "data/07_model_output/image_folder/audit/predictions.parquet"
    )
    assert [name for name in predictions if name.startswith("p_")] == ["p_0", "p_1", "p_NA"]
    assert set(predictions["label"]) == {"0", "1", "NA"}


def test_copies_are_traced_and_their_names_found_wrong(run_pipeline, few_copies, tmp_path):
    defects, reports = audit(run_pipeline, tmp_path, "blood_cells", few_copies)
    originals = pd.read_csv(reports / "originals.csv").set_index("part")
    assert originals["uncertain"].eq(0).all()
    assert originals["shared_originals"].eq(0).all()
    assert "is not its source" in findings(defects, "group that a file's name suggests").item()
    assert "the same white cell" in findings(defects, "one field of view").item()


def table(classes, cells=8, **columns):
    """Two images of each cell."""
    rows = [(label, f"{label}{cell}") for label in classes for cell in range(cells)] * 2
    images = pd.DataFrame(rows, columns=["label", "source_id"])
    images["image_id"] = [f"image_{row}" for row in range(len(images))]
    images = images.assign(source_group=images["source_id"], status="ok", published_part=None)
    return images.assign(dataset="drawn", filename_group=None).assign(**columns)


COMPARE = CompareOptions(
    protocols=["random", "filename", "source", "published"], seeds=2, min_sources=5
)
SPLITTING = SplittingOptions(validation=0.15, test=0.15, folds=1, max_unknown=0.05)


def test_protocols_that_the_data_do_not_allow_are_named_with_the_reason():
    splits, refused = split_for_audit(table("ab"), COMPARE, SPLITTING)
    assert set(splits["protocol"]) == {"random", "source"}
    assert refused["protocol"].tolist() == ["filename", "published"]
    assert refused["reason"].str.contains("column").all()


def test_classes_of_few_sources_and_images_without_label_take_no_part():
    images = pd.concat([table("ab"), table("c", cells=3), table("d")], ignore_index=True)
    images["image_id"] = [f"image_{row}" for row in range(len(images))]
    images.loc[images["label"] == "d", "label"] = None
    splits, _ = split_for_audit(images, COMPARE, SPLITTING)
    kept = images.set_index("image_id")["label"].reindex(splits["image_id"])
    assert set(kept) == {"a", "b"}


def test_too_few_sources_to_train_on_are_an_error_that_counts_them():
    with pytest.raises(SplitError, match=r"a: 2, b: 2.*min_sources"):
        split_for_audit(table("ab", cells=2), COMPARE, SPLITTING)


def test_a_data_set_that_allows_no_protocol_is_an_error_with_the_reason():
    published = COMPARE.model_copy(update={"protocols": Protocols(["published"])})
    with pytest.raises(SplitError, match="No protocol can be followed"):
        split_for_audit(table("ab"), published, SPLITTING)


def test_no_rows_are_shown_only_where_that_says_something():
    report = write_report(
        dataset="demo",
        command="kedro run --pipeline=audit",
        splits=pd.DataFrame({"protocol": ["source"], "seed": [0]}),
        refused=pd.DataFrame({"protocol": ["filename"], "reason": ["names suggest nothing"]}),
        runs=pd.DataFrame({"hardware": ["cpu"]}),
        find_defects={"defects": pd.DataFrame({"severity": [], "finding": []})},
        compare_images={name: pd.DataFrame({"image_id": []}) for name in ("conflicts", "overlaps")},
    )
    assert 'id="table-conflicts"' in report
    assert 'id="table-overlaps"' not in report
    assert 'id="table-runs"' in report
    assert "filename was not compared: names suggest nothing" in report
