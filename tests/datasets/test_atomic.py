import pandas as pd
import pytest
from kedro_datasets.pandas import CSVDataset

from wbc_pipeline.datasets.atomic import AtomicCSVDataset, AtomicMatplotlibDataset


def test_a_table_is_saved_under_its_name_alone(tmp_path):
    dataset = AtomicCSVDataset(filepath=str(tmp_path / "table.csv"), save_args={"index": False})
    dataset.save(pd.DataFrame({"a": [1]}))
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    assert dataset.load().to_dict("list") == {"a": [1]}


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


def test_a_figure_is_previewed(tmp_path):
    from matplotlib.figure import Figure

    dataset = AtomicMatplotlibDataset(filepath=str(tmp_path / "figure.png"))
    dataset.save(Figure())
    assert dataset.preview().startswith("iVBOR")  # a PNG in base64
