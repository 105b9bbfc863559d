import errno
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kedro.io import DatasetError
from kedro_datasets.pandas import CSVDataset
from matplotlib.figure import Figure

from wbc_pipeline.datasets.atomic import (
    AtomicCSVDataset,
    AtomicGzipCSVDataset,
    AtomicParquetDataset,
    ReportItemsDataset,
)
from wbc_pipeline.errors import explain
from wbc_pipeline.evaluation.report.described import caption_of, describe, heading_of
from wbc_pipeline.evaluation.report.explorer import Explorer
from wbc_pipeline.evaluation.report.pictures import Picture


def test_a_table_is_saved_under_its_name_alone(tmp_path):
    dataset = AtomicCSVDataset(filepath=str(tmp_path / "table.csv"), save_args={"index": False})
    dataset.save(pd.DataFrame({"a": [1]}))
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    assert dataset.load().to_dict("list") == {"a": [1]}


def test_a_compressed_table_has_the_same_bytes_each_time(tmp_path):
    table = pd.DataFrame({"a": [1, 2], "b": ["ä", None]})
    files = [tmp_path / name for name in ("first.csv.gz", "deeper/second.csv.gz")]
    for file in files:
        AtomicGzipCSVDataset(filepath=str(file)).save(table)
    assert files[0].read_bytes() == files[1].read_bytes()
    loaded = AtomicGzipCSVDataset(filepath=str(files[1])).load()
    pd.testing.assert_frame_equal(loaded, table, check_dtype=False)


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    dataset = AtomicCSVDataset(filepath=str(tmp_path / "table.csv"), save_args={"index": False})
    dataset.save(pd.DataFrame({"a": [1]}))

    def fail_halfway(self, data):
        with open(str(self._filepath), "w") as file:
            file.write("half")
        raise OSError("disk full")

    monkeypatch.setattr(CSVDataset, "save", fail_halfway)
    with pytest.raises(Exception, match="disk full"):
        dataset.save(pd.DataFrame({"a": [2]}))
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    assert dataset.load().to_dict("list") == {"a": [1]}


def test_a_command_reads_what_it_saved_whoever_replaces_the_file(tmp_path):
    path = str(tmp_path / "table.csv")
    mine, theirs = (AtomicCSVDataset(filepath=path, save_args={"index": False}) for _ in range(2))
    saved = pd.DataFrame({"label": ["007", ""], "seed": pd.array([1, None], "Int64")})
    mine.save(saved)
    theirs.save(pd.DataFrame({"label": ["other"]}))
    pd.testing.assert_frame_equal(mine.load(), saved)  # types and empty texts, too
    assert AtomicCSVDataset(filepath=path).load()["label"].tolist() == ["other"]
    mine.release()
    assert mine.load()["label"].tolist() == ["other"]


def test_what_a_node_does_to_a_loaded_table_the_next_node_does_not_see(tmp_path):
    dataset = AtomicParquetDataset(filepath=str(tmp_path / "table.parquet"))
    dataset.save(pd.DataFrame({"a": [1]}))
    loaded = dataset.load()
    loaded["a"] = 2
    assert dataset.load()["a"].tolist() == [1]


def test_boxes_are_previewed_as_text(tmp_path):
    dataset = AtomicParquetDataset(filepath=str(tmp_path / "table.parquet"))
    dataset.save(pd.DataFrame({"image_id": ["a"], "box": [np.array([0.0, 0.0, 8.0, 8.0])]}))
    preview = AtomicParquetDataset(filepath=str(tmp_path / "table.parquet")).preview()
    assert preview == {"columns": ["image_id", "box"], "data": [["a", "[0.0, 0.0, 8.0, 8.0]"]]}
    json.dumps(preview)


def items():
    table = describe(pd.DataFrame({"a": [1, 2]}), "Scores", "By variant.")
    return {"scores": table, "curve": describe(Figure(figsize=(1, 1)), "Curves", "By epoch.")}


def reporting(folder, group="score"):
    return ReportItemsDataset(filepath=str(folder), group=group, dpi=50)


def test_report_items_come_back_from_disk_with_heading_and_caption(tmp_path):
    assert not reporting(tmp_path).exists()
    reporting(tmp_path).save(items())
    later = reporting(tmp_path)
    assert later.exists()
    loaded = later.load()
    assert list(loaded) == ["scores", "curve"]
    assert loaded["scores"]["a"].tolist() == [1, 2]
    assert (heading_of(loaded["scores"]), caption_of(loaded["scores"])) == ("Scores", "By variant.")
    png = (tmp_path / "curve.png").read_bytes()
    assert loaded["curve"] == Picture(png, "Curves", "By epoch.")
    assert png.startswith(b"\x89PNG")


def test_groups_of_report_items_share_a_folder(tmp_path):
    reporting(tmp_path).save(items())
    reporting(tmp_path, "audit").save({"leaks": describe(pd.DataFrame({"b": [3]}), "Leaks")})
    assert list(reporting(tmp_path).load()) == ["scores", "curve"]
    assert list(reporting(tmp_path, "audit").load()) == ["leaks"]


def test_files_of_items_that_are_no_longer_reported_go(tmp_path):
    audit = {"curve": items()["curve"], "leaks": describe(pd.DataFrame({"b": [3]}), "Leaks")}
    reporting(tmp_path).save(items())
    reporting(tmp_path, "audit").save(audit)
    (tmp_path / "leaderboard.csv").touch()
    reporting(tmp_path).save({})
    names = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert names == {"curve.png", "leaks.csv", "leaderboard.csv"}
    assert reporting(tmp_path).load() == {}


def test_a_report_shows_what_its_command_saved_whoever_replaces_the_files(tmp_path):
    mine, theirs = reporting(tmp_path), reporting(tmp_path)
    mine.save(items())
    theirs.save({"scores": describe(pd.DataFrame({"a": [9]}), "Scores")})
    assert list(mine.load()) == ["scores", "curve"]
    assert mine.load()["scores"]["a"].tolist() == [1, 2]
    assert reporting(tmp_path).load()["scores"]["a"].tolist() == [9]


def test_a_failed_save_keeps_the_old_report_items(tmp_path, monkeypatch):
    reporting(tmp_path).save(items())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail_halfway(path, content):
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", fail_halfway)
    with pytest.raises(DatasetError, match="disk full"):
        reporting(tmp_path).save({"scores": describe(pd.DataFrame({"a": [9]}), "Scores")})
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_failed_write_says_where(tmp_path, monkeypatch):
    def fill(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fill)
    dataset = AtomicCSVDataset(filepath=str(tmp_path / "metrics.csv"))
    with pytest.raises(DatasetError) as raised:
        dataset.save(pd.DataFrame({"accuracy": [1.0]}))
    assert explain(raised.value).startswith(f"{tmp_path}/metrics.csv: there is no space left")


def test_what_a_page_explores_is_kept_as_json_and_goes_with_the_command_that_lacks_it(tmp_path):
    items = {"confusion": Explorer({"classes": ["a"]}, "Confusion", "Click.")}
    ReportItemsDataset(filepath=str(tmp_path), group="explored").save(items)
    assert json.loads((tmp_path / "confusion.json").read_text()) == {"classes": ["a"]}
    assert ReportItemsDataset(filepath=str(tmp_path), group="explored").load() == items
    ReportItemsDataset(filepath=str(tmp_path), group="explored").save({})
    assert not (tmp_path / "confusion.json").exists()
