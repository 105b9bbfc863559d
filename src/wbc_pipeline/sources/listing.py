"""What every source returns, and how a source is found by its name."""

import hashlib
import importlib
import inspect
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from wbc_pipeline.errors import UserError
from wbc_pipeline.references import split_reference
from wbc_pipeline.suggestions import suggestion

LISTING_COLUMNS = (
    "dataset",  # name of the source; several may be listed as one
    "image_id",  # posix path relative to the data set's folder
    "path",  # absolute
    "label",
    "source_id",  # which physical cell or original image it shows; missing: not known
    "patient",  # whose blood it is; missing: not known
    "filename_group",  # what the file's name suggests as its source; may be wrong
    "domain",  # stain or laboratory
    "published_part",
    "box",  # [xmin, ymin, xmax, ymax] in pixels of the file
    "mask_path",  # absolute; or a reference into an annotation file (``references``)
    "mask_levels",  # which value is which part, as JSON (``imaging.mask_levels``); missing: the
    # masks tell
    "annotated",  # what masks and boxes belong to if an EXIF tag turns the image: "file" as stored,
    # "upright", or the size that the annotation declares, as "640 x 480"; missing: not known
    "problem",  # why the row cannot be used, found while listing; missing: nothing is known
    "warning",  # what was assumed or mended in the row, which is used all the same
)

SOURCES = {
    "demo": "wbc_pipeline.sources.demo",
    "leukemia5": "wbc_pipeline.sources.leukemia5",
    "blood_cells": "wbc_pipeline.sources.blood_cells",
    "blood_cells_originals": "wbc_pipeline.sources.blood_cells_originals",
    "pbc": "wbc_pipeline.sources.pbc",
    "segmentation_wbc": "wbc_pipeline.sources.segmentation_wbc",
    "lisc": "wbc_pipeline.sources.lisc",
    "all_idb2": "wbc_pipeline.sources.all_idb2",
    "raabin": "wbc_pipeline.sources.raabin",
    "krd_wbc": "wbc_pipeline.sources.krd_wbc",
    "wbcbench": "wbc_pipeline.sources.wbcbench",
    "image_folder": "wbc_pipeline.sources.image_folder",
    "table": "wbc_pipeline.sources.table",
}

# Names of published parts that users give to folders and write into tables; in any case.
PARTS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "testA": "test",
    "testB": "test",
}
_PART_OF_WORD = {word.lower(): part for word, part in PARTS.items()}

# In lower case; where a folder of a published set holds other files too.
IMAGE_SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"),
    *(".jp2", ".ppm", ".heic", ".heif", ".avif"),
}

_CLUTTER = {"thumbs.db", "desktop.ini", "__macosx"}


class MissingDataError(UserError, FileNotFoundError):
    """A data set, or a folder of it, is not where it was looked for."""


class LayoutError(UserError):
    """A folder is there, but its contents are not a data set."""


def list_source(
    name: str, raw: Path, *, data: Path, options: dict[str, Any] | None = None
) -> pd.DataFrame:
    """List the images of the source called ``name``.

    Parameters
    ----------
    name
        A key of ``SOURCES``.
    raw
        Folder that holds the public data sets, each under its own name.
    data
        Folder of the project's outputs; demo images live below ``<data>/01_raw/demo``.
    options
        Keyword arguments of the source's ``list_images``.

    Returns
    -------
    DataFrame with ``LISTING_COLUMNS``, a row per image, sorted by ``image_id``. Text columns are
    of dtype ``str`` (missing where not known); ``box`` holds lists of 4 numbers or None. A
    ``problem`` or ``warning`` is a short fixed phrase, then a colon and the particulars, so that
    they can be counted by what stands before the colon.

    Raises
    ------
    ValueError
        If there is no such source, or the source has no such option; the message names the known.
    MissingDataError
        If the files are not there; the message says where they were looked for.
    """
    module = load_source(name)
    options = options or {}
    _check_options(name, module, options)
    folder = Path(data) / "01_raw" / "demo" if name == "demo" else Path(raw)
    return as_listing(module.list_images(folder, **options).assign(dataset=name))


def load_source(name: str) -> ModuleType:
    """Import the module of the source called ``name``.

    Raises
    ------
    ValueError
        If there is no such source; the message lists the known ones and the closest.
    """
    if name not in SOURCES:
        raise ValueError(
            f"No data set is called {name!r}.{suggestion(name, SOURCES)} "
            f"Known: {', '.join(SOURCES)}. Set `dataset` to one of them."
        )
    return importlib.import_module(SOURCES[name])


def as_listing(rows: pd.DataFrame | Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Convert rows to a listing: columns, order, dtypes.

    Columns that are not given are missing throughout.

    Raises
    ------
    ValueError
        If two rows share an ``image_id``, or a file's name is not UTF-8.
    """
    rows = pd.DataFrame(rows, dtype=object).reindex(columns=list(LISTING_COLUMNS))
    rows = rows.astype(object).where(rows.notna(), None)
    for path in rows["path"]:
        _check_utf8(path)
    for name in rows.columns.drop("box"):  # unlike astype, this keeps None in pandas 2
        rows[name] = pd.Series(rows[name].tolist(), dtype="str", index=rows.index)
    rows = rows.sort_values("image_id", ignore_index=True)
    twice = rows["image_id"][rows["image_id"].duplicated()]
    if len(twice):
        raise LayoutError(
            f"{len(twice)} image_ids occur twice, the first is {twice.iloc[0]!r}; a listing needs "
            "one row per file."
        )
    return rows


def listing_digest(listing: pd.DataFrame) -> str:
    """Digest of what is listed and of the files behind it, without opening them.

    Two equal digests mean: the same images with the same labels, sources, domains, parts, boxes,
    masks, problems and warnings, each file of the same size and time of change. Where the data set
    lies does not count. A file that is missing counts as missing; one with a problem is not looked
    at.

    Returns
    -------
    64 hexadecimal digits.
    """
    known = listing[list(LISTING_COLUMNS)].drop(columns=["path", "mask_path"]).astype(object)
    known = known.where(known.notna(), None)
    digest = hashlib.sha256()
    rows = known.itertuples(index=False, name=None)
    for values, path, mask in zip(rows, listing["path"], listing["mask_path"], strict=True):
        row = dict(zip(known.columns, values, strict=True))
        if row["box"] is not None:
            row["box"] = [float(number) for number in row["box"]]
        mask_file, row["mask_in_file"] = (None, None) if pd.isna(mask) else split_reference(mask)
        files = [] if row["problem"] else [path] if mask_file is None else [path, mask_file]
        digest.update(repr((list(row.values()), [_stamp(file) for file in files])).encode())
    return digest.hexdigest()


def published_part(name: str) -> str | None:
    """Tell which part a folder or a cell of a table names; None if none.

    Examples
    --------
    >>> [published_part(name) for name in ("TRAIN", "Test A", "validation_set", "monocyte")]
    ['train', 'test', 'validation', None]
    """
    word = re.sub(r"[\s_-]", "", name).lower()
    return _PART_OF_WORD.get(re.sub("(set|data|images)$", "", word))


def part_warning(name: str) -> str | None:
    """Say so where a published part is one of several that become one, such as ``TestA``."""
    if re.fullmatch(r"test[\s_-]*[ab]", name.strip(), re.IGNORECASE):
        return f"part taken for test: published as {name.strip()!r}"
    return None


def relative_files(folder: Path) -> Iterator[str]:
    """Every file at any depth below ``folder``, as posix paths relative to it.

    Left out are hidden files and folders and what file managers leave behind (``Thumbs.db`` and
    the like). Broken links, and links to folders (which could loop), are listed, so that reading
    refuses them with a reason instead of their vanishing here.

    Raises
    ------
    OSError
        If a folder may not be read.
    """
    for parent, folders, files in os.walk(folder, onerror=_raise):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        folders[:] = [name for name in folders if is_visible(name) and name not in links]
        prefix = Path(parent).relative_to(folder).as_posix() + "/"
        prefix = "" if prefix == "./" else prefix
        yield from (prefix + name for name in files + links if is_visible(name))


def is_visible(name: str) -> bool:
    """Whether a file or folder of this name is part of a data set."""
    return not name.startswith(".") and name.lower() not in _CLUTTER


def require_folder(folder: Path, public_name: str, put_at: Path) -> Path:
    """Return ``folder`` made absolute if it exists.

    Parameters
    ----------
    folder
        What is looked for.
    public_name
        Name of the download that holds it.
    put_at
        Where the unpacked download belongs.

    Raises
    ------
    MissingDataError
        If it does not exist; the message says what to download and where to put it.
    """
    absolute = Path(os.path.abspath(folder))
    if not absolute.is_dir():
        raise _not_downloaded(f"folder {absolute}", public_name, put_at)
    return absolute


def require_file(file: Path, public_name: str, put_at: Path) -> Path:
    """Return ``file`` made absolute if it exists; else as :func:`require_folder`."""
    absolute = Path(os.path.abspath(file))
    if not absolute.is_file():
        raise _not_downloaded(f"file {absolute}", public_name, put_at)
    return absolute


def not_given(what: str, public_name: str, parameters: str) -> MissingDataError:
    """Build the error for missing files of the user's own, with the parameters that locate them.

    Parameters
    ----------
    what
        What was looked for and where, such as ``"folder /data/mine"``.
    public_name
        Of the source.
    parameters
        Which to set, as on the command line.
    """
    return MissingDataError(
        f"No {what} for {public_name}. Say where it lies with "
        f'--params="{parameters}" '
        "(absolute, or below raw, which is the environment variable WBC_DATA by default). "
        'Without any images: --params="dataset=demo".'
    )


def _not_downloaded(what: str, public_name: str, put_at: Path) -> MissingDataError:
    return MissingDataError(
        f"No {what}. It is part of {public_name}: put that at "
        f"{os.path.abspath(put_at)}, or say where your data sets lie with "
        '--params="raw=/your/folder" or the environment variable WBC_DATA. '
        'Without any download: --params="dataset=demo".'
    )


def _check_utf8(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise LayoutError(
            f"The file name {path!r} is not valid UTF-8. Rename the file and run again."
        ) from None


def _check_options(name: str, module: ModuleType, options: dict[str, Any]) -> None:
    signature = inspect.signature(module.list_images)
    try:
        signature.bind(None, **options)
    except TypeError as error:
        known = ", ".join(list(signature.parameters)[1:]) or "none"
        raise ValueError(
            f"Wrong options for the data set {name!r}: {error}. Its options: {known}."
        ) from None


def _stamp(path: str) -> tuple[int, int] | str:
    try:
        status = os.stat(path)
    except OSError:
        return "missing"
    return status.st_size, status.st_mtime_ns


def _raise(error: OSError) -> None:
    raise error
