"""Which photograph or cell each file of a public set shows: tables that were made once.

Beside this module lies ``<dataset>.csv.gz`` for each pinned set and, for a set of augmented copies,
``<dataset>_overlaps.csv.gz``: the pairs of originals that show one field of view. What they say are
facts about files that are known by their bytes, so they hold wherever these files lie. The page
``reference/pinned-sources`` of the documentation says what the columns are and how to remake them.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

CHECKSUMMED = "files of this checksum"
RESCALED_COPIES = "rescaled copies"

_HOME = Path(__file__).parent
_DECIMALS = 4  # of scores, and of what a map multiplies by; 2 of pixels
_TEXTS = ["sha256", "source", "original_label", "first", "second"]
_NUMBERS = ["transform", "first_box", "second_box"]  # several, with spaces between


class PinnedCopies(NamedTuple):
    """What is pinned of a set of augmented copies.

    Attributes
    ----------
    matches
        A row per checksum: ``sha256``, then ``source_id``, ``original_label``, ``mirrored``,
        ``score``, ``margin``, ``transform`` and ``certain``, see ``imaging.recovery.Match``.
    overlaps
        A row per pair of originals that show one field of view, see ``imaging.recovery``.
    digest
        Of both files.
    """

    matches: pd.DataFrame
    overlaps: pd.DataFrame
    digest: str


def read_copies(dataset: str) -> PinnedCopies | None:
    """Read what is pinned of a set of augmented copies; None if nothing is.

    Only copies of a certain source are given: the others have to be recovered.
    """
    files = [_HOME / f"{dataset}.csv.gz", _HOME / f"{dataset}_overlaps.csv.gz"]
    if not all(file.is_file() for file in files):
        return None
    sources, overlaps = (_read(file) for file in files)
    known = sources.dropna(subset="source").drop_duplicates("sha256").assign(certain=True)
    matches = known.rename(columns={"source": "source_id"})[["sha256", *_MATCH, "certain"]]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    return PinnedCopies(matches.reset_index(drop=True), overlaps, digest[:16])


_MATCH = ["source_id", "original_label", "mirrored", "score", "margin", "transform"]


def tabulate_sources(
    images: pd.DataFrame,
    recovered: pd.DataFrame,
    *,
    fold: pd.Series,
    part: pd.Series,
    rescaled: bool = False,
) -> pd.DataFrame:
    """Put together what is to be pinned of a data set.

    Parameters
    ----------
    images
        Rows of a manifest, of status ``ok``.
    recovered
        A row per augmented copy: ``image_id`` and what `PinnedCopies` says; no rows for other sets.
    fold
        By ``image_id``: which of the folds of ``source`` tests it.
    part
        By ``image_id``: its part in the split ``source``.
    rescaled
        Whether the files are rescaled copies of the published ones: then their checksums say
        nothing, and are left out.

    Returns
    -------
    A row per image, in the order of ``images``: ``sha256``, ``image_id``, ``source``,
    ``source_group``, ``fold``, ``part``, ``found_on``; of augmented copies also
    ``original_label``, ``mirrored``, ``score``, ``margin`` and ``transform``, rounded.
    """
    ids = images["image_id"]
    table = pd.DataFrame(
        {
            "sha256": images["sha256"],
            "image_id": ids,
            "source": images["source_id"],
            "source_group": images["source_group"],
            "fold": ids.map(fold).astype("Int64"),
            "part": ids.map(part),
            "found_on": RESCALED_COPIES if rescaled else CHECKSUMMED,
        }
    )
    if rescaled:
        table = table.drop(columns="sha256")
    if len(recovered):
        matches = recovered[["image_id", *_MATCH[1:]]]
        table = table.merge(_as_written(matches), on="image_id", how="left", validate="1:1")
    return table.reset_index(drop=True)


def tabulate_overlaps(overlaps: pd.DataFrame) -> pd.DataFrame:
    """Put together what is to be pinned of the originals' overlaps, see `PinnedCopies`."""
    return _as_written(overlaps)


def _as_written(table: pd.DataFrame) -> pd.DataFrame:
    """Round numbers to what is worth keeping, and join lists of them by spaces."""
    places = dict.fromkeys(["score", "margin", "correlation", "share"], _DECIMALS)
    joined = {name: table[name].map(_join) for name in _NUMBERS if name in table}
    return table.round(places).assign(**joined)


def _join(numbers: Iterable[float] | None) -> str | None:
    """Write numbers down, the third and sixth of a map, which are pixels, with fewer decimals.

    >>> _join([0.98765432, -0.1, 12.3456, 0.1, 1, 0])
    '0.98765 -0.1 12.35 0.1 1 0'
    """
    if numbers is None:
        return None
    decimals = (_DECIMALS + 1, _DECIMALS + 1, 2) * 2
    return " ".join(
        f"{round(float(number), places) + 0.0:.7g}"
        for number, places in zip(numbers, decimals, strict=False)
    )


def _read(file: Path) -> pd.DataFrame:
    texts = dict.fromkeys(_TEXTS, "str")  # a name of digits alone is no number
    table = pd.read_csv(file, dtype=texts, keep_default_na=False, na_values=[""])
    for name in table.columns.intersection(_NUMBERS):
        table[name] = [
            None if pd.isna(numbers) else [float(number) for number in numbers.split()]
            for numbers in table[name]
        ]
    return table
