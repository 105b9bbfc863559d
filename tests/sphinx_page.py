"""A page of the documentation, built as text."""

from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

EXTENSIONS = Path(__file__).parents[1] / "docs" / "_extensions"


def build_page(folder: Path, text: str, extension: str) -> str:
    """Build a page of MyST with an extension of `EXTENSIONS`; what warns is an error."""
    (folder / "index.md").write_text(text)
    with docutils_namespace():
        Sphinx(
            folder,
            None,
            folder / "built",
            folder / "read",
            "text",
            confoverrides={"extensions": ["myst_parser", extension]},
            status=None,
            warningiserror=True,
            exception_on_warning=True,
        ).build()
    return (folder / "built" / "index.txt").read_text()
