"""What ``compare`` reads out of a data folder: papers' outputs, submissions, leaderboards."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset, DatasetError

from wbc_pipeline.datasets.results import KEY_FILE, LATEST_FILE, Result
from wbc_pipeline.errors import UserError
from wbc_pipeline.keys import run_name
from wbc_pipeline.models import DESCRIPTION_FILE
from wbc_pipeline.processes import process_rank

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    import pandas as pd

_PREDICTIONS = "predictions.parquet"
_RUNS = "runs"  # where a paper keeps the predictions of each training
_REPORTS = ("published.csv", "runs.csv")  # written after the predictions


@dataclass(frozen=True)
class PaperOutputs:
    """What the last command of a paper has left; each table is read when it is asked for.

    Attributes
    ----------
    outputs, reports, models
        Folders of its predictions, its report and its trainings.
    """

    outputs: Path
    reports: Path
    models: Path

    @cached_property
    def predictions(self) -> "pd.DataFrame":
        """Test rows of images as they came; see ``design``: predictions."""
        import pandas as pd

        asked = [("part", "==", "test"), ("condition", "==", "clean")]
        return pd.read_parquet(self.outputs / _PREDICTIONS, filters=asked)

    def table(self, name: str) -> "pd.DataFrame":
        """Read a table of its report; no rows if the paper has none of that name."""
        import pandas as pd

        file = self.reports / f"{name}.csv"
        texts = {"published": str}
        return pd.read_csv(file, dtype=texts) if file.is_file() else pd.DataFrame()

    @cached_property
    def networks(self) -> dict[str, dict[str, Any]]:
        """What rebuilds the network of each variant, as the last command asked for it."""
        found = {}
        for name, place in _read_json(self.models / LATEST_FILE).items():
            variant = name.partition("/")[0]
            if variant not in found and (self.models / place / DESCRIPTION_FILE).is_file():
                found[variant] = Result(self.models / place).json("network")
        return found

    def training(self, variant: str, protocol: str) -> Result | None:
        """Find the first training, by seed and fold, that the last command asked for."""
        places = {
            name: self.models / place
            for name, place in _read_json(self.models / LATEST_FILE).items()
            if name.startswith(f"{variant}/{protocol}-")
        }
        found = [Result(place) for place in places.values() if (place / KEY_FILE).is_file()]
        return min(found, key=_seed_and_fold, default=None)

    def prediction(self, training: Result) -> Result | None:
        """Find what a training predicted for the last command; None where that is not there."""
        folder = self.outputs / _RUNS
        params = training.key["params"]
        run = run_name(params["protocol"], params["seed"], params["fold"])
        place = _read_json(folder / LATEST_FILE).get(f"{params['variant']}/{run}")
        is_there = place is not None and (folder / place / KEY_FILE).is_file()
        return Result(folder / place) if is_there else None


@dataclass(frozen=True)
class Outputs:
    """What a data folder holds of one data set.

    Attributes
    ----------
    papers
        By name; those whose last command came to its end.
    datasets
        Names of the data sets of which the folder holds predictions.
    folder
        The manifest's.
    images
        The packed images'.
    data
        The data folder itself.
    """

    papers: dict[str, PaperOutputs]
    datasets: list[str]
    folder: Path
    images: Path
    data: Path

    @cached_property
    def manifest(self) -> "pd.DataFrame | None":
        """See ``design``: manifest; None where nothing has been ingested."""
        import pandas as pd

        file = self.folder / "manifest.parquet"
        return pd.read_parquet(file) if file.is_file() else None

    def show(self, names: "Iterable[str]") -> "dict[str, np.ndarray]":
        """Give packed images by their ID, RGB, uint8 [S, S, 3]; none where they are not here."""
        from wbc_pipeline.datasets.images import open_images
        from wbc_pipeline.imaging.packing import accepted

        place = _read_json(self.images / LATEST_FILE).get("")
        if self.manifest is None or place is None or not (self.images / place).is_dir():
            return {}
        packed, files = Result(self.images / place), ["image_id", "sha256"]
        shown, known = (
            accepted(table)[files].to_numpy().tolist()
            for table in (packed.table("outcome"), self.manifest)
        )
        if shown != known:  # another command has packed other files since
            return {}
        pixels = open_images(packed).pixels
        rows = {name: row for row, (name, _) in enumerate(shown)}
        return {name: pixels[rows[name]] for name in names if name in rows}


class OutputsDataset(AbstractDataset[None, Outputs]):
    """All outputs of papers on one data set, as far as they are there.

    Parameters
    ----------
    filepath
        The data folder.
    name
        Of the data set.
    """

    def __init__(self, *, filepath: str, name: str, metadata: dict | None = None):
        self._data = Path(filepath)
        self._name = name
        self.metadata = metadata
        self._found: Outputs | None = None

    def load(self) -> Outputs:
        """Look what is there, once."""
        if self._found is None:
            self._found = self._look()
        return self._found

    def _look(self) -> Outputs:
        outputs, name = self._data / "07_model_output", self._name
        papers = {}
        for file in sorted((outputs / name).glob(f"*/{_PREDICTIONS}")):
            paper = file.parent.name
            reports = self._data / "08_reporting" / name / paper
            if all((reports / report).is_file() for report in _REPORTS):
                models = self._data / "06_models" / name / paper
                papers[paper] = PaperOutputs(file.parent, reports, models)
        datasets = {file.parents[1].name for file in outputs.glob(f"*/*/{_PREDICTIONS}")}
        return Outputs(
            papers,
            sorted(datasets),
            folder=self._data / "02_intermediate" / name,
            images=self._data / "03_primary" / name / "images",
            data=self._data,
        )

    def save(self, data: None) -> None:
        """Refuse: papers write these."""
        raise DatasetError("What papers have left is only read.")

    def _exists(self) -> bool:
        return True

    def _release(self) -> None:
        self._found = None

    def _describe(self) -> dict:
        return {"filepath": str(self._data), "name": self._name}


class SubmissionDataset(AbstractDataset[None, "pd.DataFrame | None"]):
    """A table of predictions that somebody else has made, as CSV or parquet.

    Parameters
    ----------
    filepath
        Of the table; None for none.
    """

    def __init__(self, *, filepath: str | None, metadata: dict | None = None):
        self._file = None if filepath is None else Path(filepath)
        self.metadata = metadata

    def load(self) -> "pd.DataFrame | None":
        """Read the table; names stay text. None if there is no file to read."""
        import pandas as pd

        if self._file is None:
            return None
        if not self._file.is_file():
            raise UserError(
                f"submission: there is no file {self._file}. Name a CSV or parquet table of "
                "predictions; a relative path begins in the project's folder."
            )
        if self._file.suffix != ".parquet":
            return _read_csv(self._file)
        try:
            return pd.read_parquet(self._file)
        except (ValueError, OSError) as error:  # also what pyarrow raises
            raise UserError(
                f"submission: {self._file} cannot be read as a table ({error}). Write parquet, or "
                "CSV with a line of column names."
            ) from error

    def save(self, data: None) -> None:
        """Refuse: somebody else makes it."""
        raise DatasetError("A submission is only read.")

    def _exists(self) -> bool:
        return True  # what lacks is said when it is read

    def _describe(self) -> dict:
        return {"filepath": str(self._file)}


class TablesDataset(AbstractDataset[dict[str, "pd.DataFrame"], dict[str, "pd.DataFrame"]]):
    """Tables by name, a parquet file each in one folder, which may be empty.

    Saving leaves tables of other names where they are.

    Parameters
    ----------
    filepath
        The folder.
    """

    def __init__(self, *, filepath: str, metadata: dict | None = None):
        self._folder = Path(filepath)
        self.metadata = metadata

    def load(self) -> dict[str, "pd.DataFrame"]:
        """Read all tables."""
        import pandas as pd

        files = sorted(self._folder.glob("[!.]*.parquet"))
        return {file.stem: pd.read_parquet(file) for file in files}

    def save(self, data: dict[str, "pd.DataFrame"]) -> None:
        """Write these tables."""
        from wbc_pipeline.datasets.atomic import replacing

        if process_rank() > 0:
            return
        for name, table in data.items():
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(self._folder / f"{name}.parquet") as beside:
                table.to_parquet(beside, index=False)

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict:
        return {"filepath": str(self._folder)}


class BoardsDataset(AbstractDataset[None, dict[str, dict[str, "pd.DataFrame"]]]):
    """The leaderboards of all data sets of a data folder: tables by data set and name.

    Parameters
    ----------
    filepath
        The folder of reports.
    tables
        Names of the tables.
    """

    def __init__(self, *, filepath: str, tables: list[str], metadata: dict | None = None):
        self._folder = Path(filepath)
        self._tables = tables
        self.metadata = metadata

    def load(self) -> dict[str, dict[str, "pd.DataFrame"]]:
        """Read the tables of each data set that has them all."""
        import pandas as pd

        found = {}
        for folder in sorted(self._folder.glob("*/compare")):
            files = {name: folder / f"{name}.csv" for name in self._tables}
            if all(file.is_file() for file in files.values()):
                read = {name: pd.read_csv(file) for name, file in files.items()}
                found[folder.parent.name] = read
        return found

    def save(self, data: None) -> None:
        """Refuse: each data set's comparison writes its own."""
        raise DatasetError("The leaderboards of all data sets are only read.")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict:
        return {"filepath": str(self._folder), "tables": self._tables}


def _read_csv(file: Path) -> "pd.DataFrame":
    """Read a submission as users' other tables are read; empty cells are missing."""
    import pandas as pd

    from wbc_pipeline.sources.csv_rows import read_rows
    from wbc_pipeline.sources.listing import LayoutError

    try:
        rows = read_rows(file)
    except LayoutError as error:
        raise UserError(f"submission: {error}") from error
    table = pd.DataFrame([row.cells for row in rows], dtype=object)
    return table.mask(table == "")


def _seed_and_fold(training: Result) -> tuple[int, int]:
    params = training.key["params"]
    return params["seed"], params["fold"]


def _read_json(file: Path) -> dict[str, str]:
    return json.loads(file.read_text()) if file.is_file() else {}
