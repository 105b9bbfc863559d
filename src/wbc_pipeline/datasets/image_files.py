"""Images that a user asks about."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

from wbc_pipeline.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ImageFiles:
    """Files that a user asks about.

    Attributes
    ----------
    asked
        What the user named.
    name
        Short name of it, for a folder.
    table
        ``image_id`` and ``path``, a row a file; see `sources.image_files`.
    left_out
        Files of a folder that are not called as images are.
    """

    asked: str
    name: str
    table: "pd.DataFrame"
    left_out: list[str]


class ImageFilesDataset(AbstractDataset[None, ImageFiles]):
    """The files that ``images=`` names; read-only.

    Parameters
    ----------
    filepath
        A folder, a glob, one file or a CSV of paths; null where nobody said it.
    home
        What a relative one begins from.
    name
        Short name of it, for a folder.
    """

    def __init__(self, *, filepath: Any, home: str, name: str, metadata: dict | None = None):
        self._asked, self._home, self._name = filepath, Path(home), name
        self.metadata = metadata
        self._found: ImageFiles | None = None

    def load(self) -> ImageFiles:
        """List them, once: a command sees one list, whatever is added meanwhile."""
        if self._found is None:
            self._found = self._list()
        return self._found

    def _list(self) -> ImageFiles:
        from wbc_pipeline.sources.image_files import list_image_files

        if self._asked is None:
            raise UserError(
                'Nothing says which images to look at: --params="images=slides/,model=…" takes a '
                "folder, a glob, one file or a CSV file with a column path."
            )
        table, left_out = list_image_files(str(self._asked), self._home)
        return ImageFiles(str(self._asked), self._name, table, left_out)

    def save(self, data: None) -> None:
        """Refuse: these files are a user's."""
        raise UserError("Images that a user asks about are never written.")

    def _exists(self) -> bool:
        return True

    def _release(self) -> None:
        self._found = None

    def _describe(self) -> dict:
        return {"filepath": self._asked}
