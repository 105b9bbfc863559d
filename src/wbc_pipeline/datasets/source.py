"""Where a run's raw images come from."""

import hashlib
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kedro.io import AbstractDataset, DatasetError

if TYPE_CHECKING:
    import pandas as pd

    from wbc_pipeline.sources.pinned import PinnedCopies

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A named data set, or several as one, in a folder of raw data, not looked at yet.

    Attributes
    ----------
    name
        Name of a module of ``wbc_pipeline.sources``, or several with ``+`` between.
    raw
        Folder that holds the public downloads.
    data
        Folder of this project's own data; the demo smears are rendered below it.
    """

    name: str
    raw: Path
    data: Path
    _listings: "dict[str, dict[str, pd.DataFrame]]" = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def list_images(self, options: dict) -> "pd.DataFrame":
        """List the images, see `combined.join_sets`; ``options`` are those of all data sets.

        Under the same options they are listed once, so that a check before the first node and that
        node see the same, and what is said about it is said once.

        Raises
        ------
        MissingDataError
            If the data set is not where it was looked for.
        LayoutError
            If several data sets share fewer than two classes.
        """
        from wbc_pipeline.sources.combined import join_sets

        return join_sets(self._list_sets(options), classes=options.get("classes", "shared")).copy()

    def take_over(self, other: "Source") -> None:
        """Spare the listing of what an equal source has listed already."""
        self._listings.update(other._listings)

    @property
    def copied_sets(self) -> list[str]:
        """Names of the data sets whose images are augmented copies of others, their originals."""
        from wbc_pipeline.sources.combined import copied_sets

        return copied_sets(self.name)

    @property
    def sets_of_one_image_per_cell(self) -> list[str]:
        """Names of the data sets where an image of unknown source counts as its own."""
        from wbc_pipeline.sources.combined import sets_of_one_image_per_cell

        return sets_of_one_image_per_cell(self.name)

    def list_originals(self) -> "pd.DataFrame":
        """List the photographs that the images of `copied_sets` are copies of.

        Raises
        ------
        MissingDataError
            If they are not where they were looked for.
        """
        from wbc_pipeline.sources.combined import list_originals

        return list_originals(self.name, self.raw)

    def pinned_copies(self) -> "PinnedCopies | None":
        """Read what is pinned of the images of `copied_sets`; None if not all of these are."""
        from wbc_pipeline.sources.combined import pinned_copies

        return pinned_copies(self.name)

    def list_submission(self) -> "pd.DataFrame":
        """List what a submission must name, see `combined.list_submission`."""
        from wbc_pipeline.sources.combined import list_submission

        return list_submission(self.name, self.raw)

    def list_boxes(self, options: dict) -> "pd.DataFrame":
        """List the annotated boxes, see `combined.list_boxes`; ``options`` as in `list_images`."""
        from wbc_pipeline.sources.combined import list_boxes

        return list_boxes(self._list_sets(options), self.raw, options=options)

    def _list_sets(self, options: dict) -> "dict[str, pd.DataFrame]":
        from wbc_pipeline.sources.combined import list_sets

        asked = repr(options)
        if asked not in self._listings:
            self._listings[asked] = list_sets(self.name, self.raw, data=self.data, options=options)
        return self._listings[asked]

    def list_other_sets(self, options: dict) -> "dict[str, pd.DataFrame]":
        """List the other data sets in the same folder, by name, with the ``sha256`` of each file.

        Left out are rendered images, and copies of unknown originals, which count no cells.
        """
        from wbc_pipeline.sources.combined import set_names
        from wbc_pipeline.sources.listing import (
            SOURCES,
            LayoutError,
            MissingDataError,
            load_source,
        )

        found = {}
        for name in sorted(SOURCES.keys() - {"demo", *set_names(self.name)}):
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
        return found


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

    def _exists(self) -> bool:
        return True  # what it lists is checked before any node runs

    def _describe(self) -> dict:
        return {"name": self._source.name, "filepath": str(self._source.raw)}
