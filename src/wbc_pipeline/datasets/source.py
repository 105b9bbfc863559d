"""Where a run's raw images come from."""

import hashlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from kedro.io import AbstractDataset, DatasetError

_log = logging.getLogger(__name__)


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

    @property
    def are_copies(self) -> bool:
        """Whether the images are augmented copies of others, their originals."""
        from wbc_pipeline.sources.listing import load_source

        return hasattr(load_source(self.name), "list_originals")

    def list_originals(self) -> pd.DataFrame:
        """List the photographs that the images are copies of.

        Raises
        ------
        MissingDataError
            If they are not where they were looked for.
        """
        from wbc_pipeline.sources.listing import load_source

        return load_source(self.name).list_originals(self.raw)

    def list_boxes(self) -> pd.DataFrame:
        """List the annotated boxes, a row each; no rows if the data set has none."""
        from wbc_pipeline.sources.listing import load_source
        from wbc_pipeline.sources.voc import VocObject

        list_boxes = getattr(load_source(self.name), "list_boxes", None)
        if list_boxes is None:
            return pd.DataFrame(columns=["image_id", *VocObject._fields])
        return list_boxes(self.raw)

    def list_other_sets(self, options: dict) -> dict[str, pd.DataFrame]:
        """List the other data sets in the same folder, by name, with the ``sha256`` of each file.

        Not among them are drawn images, and copies of unknown originals, which count no cells.
        """
        from wbc_pipeline.sources.listing import (
            SOURCES,
            LayoutError,
            MissingDataError,
            load_source,
        )

        found = {}
        for name in SOURCES.keys() - {"demo", self.name}:
            try:
                listing = replace(self, name=name).list_images(options)
            except MissingDataError:
                continue
            except (LayoutError, OSError) as error:
                _log.warning("Left out of the comparison of data sets: %s", error)
                continue
            listing = listing[listing["problem"].isna()]
            if load_source(name).ONE_IMAGE_PER_CELL or listing["source_id"].notna().any():
                found[name] = listing.assign(sha256=listing["path"].map(_hash_file))
        return dict(sorted(found.items()))


def _hash_file(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None  # what cannot be read is refused where this set is ingested


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
