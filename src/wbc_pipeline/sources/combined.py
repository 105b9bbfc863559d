"""Several data sets as one, written ``a+b``: ids that are unique, and the classes they share."""

import logging
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pandas as pd

from wbc_pipeline.sources.annotations.common import Box
from wbc_pipeline.sources.listing import LayoutError, as_listing, list_source, load_source
from wbc_pipeline.sources.pinned import PinnedCopies, read_copies

_log = logging.getLogger(__name__)
_ID_COLUMNS = ("source_id", "patient", "filename_group")  # unique within a data set only


def set_names(dataset: str) -> list[str]:
    """Name the data sets of ``a+b``; one that stands alone is a list of one.

    Raises
    ------
    ValueError
        If one of them is unknown (the message names the closest) or named twice.

    Examples
    --------
    >>> set_names("segmentation_wbc+lisc")
    ['segmentation_wbc', 'lisc']
    """
    names = str(dataset).split("+")
    for name in names:
        load_source(name)
    if len(set(names)) < len(names):
        raise ValueError(f"`dataset={dataset}` names a data set twice: name each once.")
    return names


def list_sets(
    dataset: str, raw: Path, *, data: Path, options: Mapping[str, Any]
) -> dict[str, pd.DataFrame]:
    """List the images of one data set or of several, each by its name.

    Parameters
    ----------
    dataset
        Keys of ``listing.SOURCES`` with ``+`` between.
    raw, data
        See `listing.list_source`.
    options
        Those of each data set under its name.

    Returns
    -------
    A listing (``sources.listing``) by data set.

    Raises
    ------
    ValueError
        If a data set or an option is unknown.
    MissingDataError
        If a data set is not there.
    """
    return {
        name: list_source(name, raw, data=data, options=options.get(name))
        for name in set_names(dataset)
    }


def join_sets(
    listings: Mapping[str, pd.DataFrame], *, classes: Literal["auto", "shared", "all"] = "shared"
) -> pd.DataFrame:
    """Make one data set of several.

    Parameters
    ----------
    listings
        Of `list_sets`.
    classes
        Whether images of a class that only some of several data sets have are left out
        (``shared``) or not (``all``); ``auto``: where two classes or more are shared, else not,
        with a warning.

    Returns
    -------
    A listing (``sources.listing``) with ``dataset``. Of several data sets, ``image_id`` begins with
    the name of the data set, and source, patient and file-name group with that of the download:
    what comes from one download names a source by one id. The domain of a data set without domains
    is the data set itself.

    Raises
    ------
    LayoutError
        If several data sets share fewer than two classes; the message lists those of each.
    """
    if len(listings) == 1:
        return next(iter(listings.values()))
    shared = set() if classes == "all" else _shared_classes(listings, classes)
    if shared:
        listings = {
            name: listing[listing["label"].isin(shared) | listing["label"].isna()]
            for name, listing in listings.items()
        }
    return as_listing(pd.concat([_with_unique_ids(listing) for listing in listings.values()]))


def list_originals(dataset: str, raw: Path) -> pd.DataFrame:
    """List the photographs that images of these data sets are copies of, ids as in `join_sets`."""
    several = len(set_names(dataset)) > 1
    originals = []
    for name in copied_sets(dataset):
        listing = load_source(name).list_originals(raw).assign(dataset=name)
        originals.append(_with_unique_ids(listing) if several else listing)
    return pd.concat(originals, ignore_index=True)


def pinned_copies(dataset: str) -> PinnedCopies | None:
    """Read what is pinned of the images of `copied_sets`, ids as in `join_sets`.

    None if one of these sets is not pinned, or there are no such sets.
    """
    copied, several = copied_sets(dataset), len(set_names(dataset)) > 1
    found = [read_copies(name) for name in copied]
    if not found or None in found:
        return None
    for number, name in enumerate(copied if several else ()):
        prefix = f"{_download(load_source(name), name)}/"
        matches, overlaps, digest = found[number]
        found[number] = PinnedCopies(
            matches.assign(source_id=prefix + matches["source_id"]),
            overlaps.assign(**{side: prefix + overlaps[side] for side in ("first", "second")}),
            digest,
        )
    return PinnedCopies(
        pd.concat([pinned.matches for pinned in found], ignore_index=True),
        pd.concat([pinned.overlaps for pinned in found], ignore_index=True),
        "+".join(pinned.digest for pinned in found),
    )


def list_boxes(
    listings: Mapping[str, pd.DataFrame], raw: Path, *, options: Mapping[str, Any]
) -> pd.DataFrame:
    """List the annotated boxes of these data sets, a row each; no rows if they have none.

    Parameters
    ----------
    listings
        Of `list_sets`.
    raw, options
        See `list_sets`; a data set with options gets its own, and its listing.

    Returns
    -------
    DataFrame
        ``image_id`` as in `join_sets`, ``name`` of the object, ``xmin``, ``ymin``, ``xmax``,
        ``ymax`` in pixels of the file, or in shares of its sides where ``is_share`` says so.
        Annotations that cannot be used have a ``problem`` and no box, and ``annotation``, their
        file.
    """
    tables = [pd.DataFrame(columns=["image_id", *Box._fields])]
    for name, listing in listings.items():
        if hasattr(load_source(name), "list_boxes"):
            own = {"listing": listing, **options[name]} if name in options else {}
            boxes = load_source(name).list_boxes(raw, **own)
            prefix = f"{name}/" if len(listings) > 1 else ""
            tables.append(boxes.assign(image_id=prefix + boxes["image_id"]))
    return pd.concat(tables[1:], ignore_index=True) if len(tables) > 1 else tables[0]


def copied_sets(dataset: str) -> list[str]:
    """Name those of the data sets whose images are augmented copies of others, their originals."""
    return [name for name in set_names(dataset) if hasattr(load_source(name), "list_originals")]


def sets_of_one_image_per_cell(dataset: str) -> list[str]:
    """Name those of the data sets where an image of unknown source counts as its own."""
    return [name for name in set_names(dataset) if load_source(name).ONE_IMAGE_PER_CELL]


def come_degraded(dataset: str) -> bool:
    """Whether images of one of the data sets come degraded, so that nothing need degrade them.

    Such a data set says ``COMES_DEGRADED = True``.

    Examples
    --------
    >>> come_degraded("wbcbench"), come_degraded("pbc+wbcbench"), come_degraded("pbc")
    (True, True, False)
    """
    return any(getattr(load_source(name), "COMES_DEGRADED", False) for name in set_names(dataset))


def list_submission(dataset: str, raw: Path) -> pd.DataFrame:
    """List the images that a challenge wants to have classified, ids as in `join_sets`.

    Returns
    -------
    DataFrame
        ``dataset``, ``image_id`` and ``ID``, by which a submission names the image, a row each in
        the order of the submission; no rows if none of the data sets belongs to a challenge.
    """
    names = set_names(dataset)
    tables = [pd.DataFrame(columns=["dataset", "image_id", "ID"])]
    for name in names:
        if hasattr(load_source(name), "list_submission"):
            listed = load_source(name).list_submission(raw).assign(dataset=name)
            prefix = f"{name}/" if len(names) > 1 else ""
            tables.append(listed.assign(image_id=prefix + listed["image_id"]))
    return pd.concat(tables[1:], ignore_index=True) if len(tables) > 1 else tables[0]


def unique_source_ids(images: pd.DataFrame) -> pd.Series:
    """Put the download before source ids, where `join_sets` has not done so.

    Parameters
    ----------
    images
        ``dataset`` and ``source_id`` (missing where not known), of one data set or of several.

    Examples
    --------
    >>> images = pd.DataFrame({"dataset": "lisc", "source_id": ["a", "LISC/a"]})
    >>> unique_source_ids(images).tolist()
    ['LISC/a', 'LISC/a']
    """
    prefixes = {
        name: f"{_download(load_source(name), name)}/"
        for name in images["dataset"].dropna().unique()
    }
    ids = [
        source if pd.isna(source) else prefixes[name] + source.removeprefix(prefixes[name])
        for name, source in zip(images["dataset"], images["source_id"], strict=True)
    ]
    return pd.Series(ids, index=images.index, dtype=object)


def caveats(dataset: str) -> list[str]:
    """List what a reader of scores on these data sets must know."""
    names = set_names(dataset)
    return [
        f"{name}: {caveat}" if len(names) > 1 else caveat
        for name in names
        for caveat in load_source(name).CAVEATS
    ]


def licences(dataset: str) -> dict[str, str]:
    """Name the download of each of these data sets, and the licence of its images.

    Examples
    --------
    >>> licences("blood_cells+lisc")["blood_cells"]
    'Kaggle paultimothymooney/blood-cells: MIT'
    """
    modules = {name: load_source(name) for name in set_names(dataset)}
    return {name: f"{module.PUBLIC_NAME}: {module.LICENCE}" for name, module in modules.items()}


def _shared_classes(listings: Mapping[str, pd.DataFrame], asked: str) -> set[str]:
    """Find the classes that all have; none where ``auto`` keeps all of each."""
    classes = {name: set(listing["label"].dropna()) for name, listing in listings.items()}
    shared = set.intersection(*classes.values())
    if len(shared) >= 2:
        return shared
    known = "; ".join(f"{name}: {', '.join(sorted(of))}" for name, of in classes.items())
    few = (
        f"The data sets {', '.join(classes)} share {len(shared) or 'no'} "
        f"class{'' if len(shared) == 1 else 'es'}"
    )
    if asked == "shared":
        raise LayoutError(
            f"{few}, and two or more are needed. Classes of {known}. Choose other data sets, or "
            "set `sources.classes` to all."
        )
    _log.warning(
        "%s, so all of them are kept (%s): whoever tells these classes apart may be telling the "
        "laboratories apart. With sources.classes=shared such sets are refused.",
        few,
        known,
    )
    return set()


def _with_unique_ids(listing: pd.DataFrame) -> pd.DataFrame:
    """Put the data set before image ids, and its download before other ids."""
    (name,) = listing["dataset"].unique()
    prefix = f"{_download(load_source(name), name)}/"
    ids = {column: prefix + listing[column] for column in _ID_COLUMNS}
    domain = listing["domain"] if listing["domain"].notna().any() else name
    return listing.assign(image_id=f"{name}/" + listing["image_id"], domain=domain, **ids)


def _download(module: ModuleType, name: str) -> str:
    folder = getattr(module, "FOLDER", ".").partition("/")[0]
    return name if folder == "." else folder
