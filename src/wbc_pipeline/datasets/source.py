"""Where a run's raw images come from."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from kedro.io import AbstractDataset, DatasetError


@dataclass(frozen=True)
class Source:
    """A named data set in a folder of raw data, not looked at yet.

    Attributes
    ----------
    name
        Name of a module of ``wbc_pipeline.sources``.
    raw
        Folder that holds the public downloads.
    data
        Folder of this project's own data; the demo smears are rendered below it.
    """

    name: str
    raw: Path
    data: Path

    def list_images(self, options: dict) -> pd.DataFrame:
        """List the images with the data set's own options, if it has any.

        Raises
        ------
        MissingDataError
            If the data set is not where it was looked for.
        """
        from wbc_pipeline.sources.listing import list_source

        return list_source(
            self.name, self.raw, data=self.data, options=options.get(self.name) or {}
        )


class SourceDataset(AbstractDataset[None, Source]):
    """The raw data set of a run, read-only.

    Parameters
    ----------
    name, raw, data
        See `Source`; ``filepath`` is the folder of raw data.
    """

    def __init__(self, *, name: str, filepath: str, data: str, metadata: dict | None = None):
        self._source = Source(name=str(name), raw=Path(filepath), data=Path(data))
        self.metadata = metadata

    def load(self) -> Source:
        """Give the source; its files are looked at when it is asked for a list."""
        return self._source

    def save(self, data: None) -> None:
        """Refuse: raw data are never written."""
        raise DatasetError(f"{self._source.raw} holds raw data, which no node may write.")

    def _describe(self) -> dict:
        return {"name": self._source.name, "filepath": str(self._source.raw)}
