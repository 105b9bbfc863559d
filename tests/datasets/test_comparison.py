import json
import re

import numpy as np
import pandas as pd
import pytest
from kedro.io import DatasetError

from wbc_pipeline.datasets.comparison import (
    BoardsDataset,
    OutputsDataset,
    SubmissionDataset,
    TablesDataset,
)
from wbc_pipeline.errors import explain

PREDICTIONS = pd.DataFrame(
    {
        "image_id": ["1", "2", "3"],
        "part": ["test", "validation", "test"],
        "condition": ["clean", "clean", "noise 0.1"],
    }
)


def leave(data, dataset, paper, *, reports=("published", "runs")):
    """What a command of a paper leaves."""
    outputs, report = data / "07_model_output" / dataset / paper, data / "08_reporting" / dataset
    outputs.mkdir(parents=True)
    PREDICTIONS.to_parquet(outputs / "predictions.parquet")
    (report / paper).mkdir(parents=True)
    for name in reports:
        pd.DataFrame({"published": ["0.90"]}).to_csv(report / paper / f"{name}.csv", index=False)


def test_papers_that_came_to_their_end_are_found_and_their_data_sets_named(tmp_path):
    leave(tmp_path, "lisc", "blend")
    leave(tmp_path, "lisc", "saliency", reports=["published"])
    leave(tmp_path, "demo", "blend")
    found = OutputsDataset(filepath=str(tmp_path), name="lisc").load()
    assert list(found.papers) == ["blend"] and found.datasets == ["demo", "lisc"]
    assert found.manifest is None


def test_of_a_paper_the_clean_test_rows_count_and_numbers_stay_as_printed(tmp_path):
    leave(tmp_path, "lisc", "blend")
    paper = OutputsDataset(filepath=str(tmp_path), name="lisc").load().papers["blend"]
    assert paper.predictions["image_id"].tolist() == ["1"]
    assert paper.table("published")["published"].tolist() == ["0.90"]
    assert paper.table("robustness_area").empty and paper.networks == {}


def test_networks_are_those_of_the_last_command(tmp_path):
    leave(tmp_path, "lisc", "blend")
    models = tmp_path / "06_models/lisc/blend"
    for digits, size in (("old", 8), ("new", 16)):
        (models / f"normal/source-0-{digits}").mkdir(parents=True)
        network = {"name": "le_net", "arguments": {"image_size": size}}
        (models / f"normal/source-0-{digits}/network.json").write_text(json.dumps(network))
    places = {"normal/source-0": "normal/source-0-new", "gone/source-0": "gone/source-0-new"}
    (models / "latest.json").write_text(json.dumps(places))
    networks = OutputsDataset(filepath=str(tmp_path), name="lisc").load().papers["blend"].networks
    assert networks == {"normal": {"name": "le_net", "arguments": {"image_size": 16}}}


def pack(data, dataset, outcome):
    """What ingestion leaves: images, each of one grey value, and which files they show."""
    folder = data / f"03_primary/{dataset}/images/abc"
    folder.mkdir(parents=True)
    (folder.parent / "latest.json").write_text(json.dumps({"": "abc"}))
    outcome.to_parquet(folder / "outcome.parquet")
    grey = np.arange((outcome["status"] == "ok").sum(), dtype=np.uint8)
    np.save(folder / "images.npy", np.tile(grey[:, None, None, None], (1, 2, 2, 3)))


@pytest.mark.parametrize(
    ("changed", "shown"),
    [({}, {"b": 1}), ({"image_id": ["x", "c", "b"]}, {}), ({"sha256": [None, "9", "2"]}, {})],
)
def test_images_are_shown_where_the_packed_ones_are_those_of_the_manifest(tmp_path, changed, shown):
    files = {"image_id": ["x", "a", "b"], "sha256": [None, "1", "2"], "status": ["bad", "ok", "ok"]}
    manifest = tmp_path / "02_intermediate/lisc/manifest.parquet"
    manifest.parent.mkdir(parents=True)
    pd.DataFrame(files).to_parquet(manifest)
    pack(tmp_path, "lisc", pd.DataFrame(files | changed))
    found = OutputsDataset(filepath=str(tmp_path), name="lisc").load().show(["b", "gone"])
    assert {name: int(image.max()) for name, image in found.items()} == shown


def test_tables_of_other_names_stay(tmp_path):
    tables = TablesDataset(filepath=str(tmp_path / "submissions"))
    assert tables.load() == {}
    tables.save({"first": PREDICTIONS})
    tables.save({"second": PREDICTIONS.head(1)})
    (tmp_path / "submissions/notes.txt").touch()
    assert {name: len(table) for name, table in tables.load().items()} == {"first": 3, "second": 1}


def test_a_submission_keeps_names_as_text(tmp_path):
    file = tmp_path / "theirs.csv"
    file.write_text("image_id,label\n0012,NA\n")
    (row,) = SubmissionDataset(filepath=str(file)).load().to_dict("records")
    assert row == {"image_id": "0012", "label": "NA"}
    assert SubmissionDataset(filepath=None).load() is None


def test_a_submission_may_be_separated_and_written_as_spreadsheets_do(tmp_path):
    file = tmp_path / "theirs.csv"
    file.write_bytes("sep=;\r\nfile_name;p_änderung\r\nzelle ä.png;\r\n".encode("latin-1"))
    (row,) = SubmissionDataset(filepath=str(file)).load().to_dict("records")
    assert row["file_name"] == "zelle ä.png" and pd.isna(row["p_änderung"])


def test_a_submission_that_is_no_table_is_named_with_its_line(tmp_path):
    file = tmp_path / "theirs.csv"
    file.write_text("image_id,label\n1,a\n2,b,c\n")
    with pytest.raises(DatasetError) as raised:
        SubmissionDataset(filepath=str(file)).load()
    assert re.match(r"submission: .*theirs\.csv is no table, see line 3", explain(raised.value))


@pytest.mark.parametrize("content", [None, b"PAR1 no parquet"])
def test_a_submission_that_cannot_be_read_is_named(tmp_path, content):
    file = tmp_path / ("theirs.parquet" if content else "theirs.csv")
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DatasetError) as raised:
        SubmissionDataset(filepath=str(file)).load()
    assert explain(raised.value).startswith("submission: ")
    assert file.name in explain(raised.value)


def test_boards_are_those_of_data_sets_with_all_tables(tmp_path):
    for dataset, names in {"demo": ["leaderboard", "verdicts"], "lisc": ["verdicts"]}.items():
        (tmp_path / dataset / "compare").mkdir(parents=True)
        for name in names:
            pd.DataFrame({"paper": [name]}).to_csv(tmp_path / dataset / f"compare/{name}.csv")
    boards = BoardsDataset(filepath=str(tmp_path), tables=["leaderboard", "verdicts"]).load()
    assert list(boards) == ["demo"] and boards["demo"]["verdicts"]["paper"].tolist() == ["verdicts"]
