"""Which cell types the data sets at hand cover, how unevenly, and from how many laboratories.

The rows are the 13 classes of the WBCBench 2026 challenge, and below them what public sets label
beside or more coarsely than these.
"""

import re
from collections.abc import Mapping

import pandas as pd

from wbc_pipeline.evaluation.report.described import describe, described

CLASSES = {
    "SNE": "segmented neutrophil",
    "LY": "lymphocyte",
    "MO": "monocyte",
    "EO": "eosinophil",
    "BA": "basophil",
    "BNE": "band neutrophil",
    "MMY": "metamyelocyte",
    "MY": "myelocyte",
    "PMY": "promyelocyte",
    "BL": "blast",
    "PC": "plasma cell",
    "VLY": "variant lymphocyte",
    "PLY": "prolymphocyte",
}
OTHER = {
    "NE": "neutrophil, not specified",
    "IG": "immature granulocyte, not specified",
    "ERB": "erythroblast",
    "PLT": "platelet",
    "HEALTHY": "healthy cell, type not specified",
    "SEVERAL": "several cells in one image",
    "UNKNOWN": "label not recognised",
}
NOT_SETS = ("code", "label", "total", "domains", "confounded_with")  # columns beside the sets
FEW = 100  # cells: 20 of them in a test part of a fifth, an exact 95% interval of ± 20 points

# Beside the codes and the names themselves: what the public sets write.
_SYNONYMS = {
    "SNE": "seg neutrophil, segmented neutrophile, neutrophil segmented, ngs",
    "LY": "lymp, lymph, lym, typical lymphocyte, lyt",
    "MO": "mono, mon",
    "EO": "eosi, eos, eosino",
    "BA": "baso, bas",
    "BNE": "band, stab neutrophil, band form, neutrophil band, ngb",
    "MMY": "metamyelocyte, mmz",
    "MY": "myelocyte, myb",
    "PMY": "promyelocyte, pmo, pmb",
    "BL": "myeloblast, lymphoblast, monoblast, myo, mob, leukemic blast, leukaemic blast",
    "PC": "plasma, plasmocyte",
    "VLY": "atypical lymphocyte, reactive lymphocyte, lya",
    "PLY": "pro lymphocyte",
    "NE": "neutrophil, neut, neu",
    "IG": "immature granulocyte",
    "ERB": "nucleated red blood cell, nrbc, normoblast, ebo",
    "PLT": "thrombocyte",
    "HEALTHY": "normal",
}


def _key(text: str) -> str:
    """Lower case, single spaces between words, no s at the end."""
    return re.sub(r"[\s_-]+", " ", text).strip().lower().removesuffix("s")


_CODES = {
    _key(name): code
    for code, synonyms in _SYNONYMS.items()
    for name in (code, (CLASSES | OTHER)[code], *synonyms.split(", "))
}


def harmonise(label: str | None) -> str | None:
    """Translate a data set's label into a code of ``CLASSES`` or ``OTHER``.

    Case, underscores, hyphens and a plural's s do not matter. A label of several cells, set apart
    by commas or the like, is ``SEVERAL``. A coarse label is not refined: a neutrophil may be
    segmented or band.

    Returns
    -------
    str or None
        None for a label that is missing or not recognised.

    Examples
    --------
    >>> [harmonise(label) for label in ("Seg_Neutrophil", "BASOPHILS", "neutrophil", "smear")]
    ['SNE', 'BA', 'NE', None]
    >>> harmonise("NEUTROPHIL, EOSINOPHIL")
    'SEVERAL'
    """
    if label is None or pd.isna(label):
        return None
    code = _CODES.get(_key(label))
    if code is None and len(re.findall(r"[^,;+/&]+", label)) > 1:
        return "SEVERAL"
    return code


def analyse_gaps(
    listings: Mapping[str, pd.DataFrame], *, few: int = FEW
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Count the cells of each class in each data set, and say where cells are missing.

    A cell is an independent source, or an image in a set of which no source is known. Public sets
    take images from each other, so the totals count once what stands in two sets: the same file
    (where ``sha256`` is known), or copies of the same original of the same domain.

    Parameters
    ----------
    listings
        By the name of the set, its listing or its manifest (rows of another status than ``ok`` are
        left out): ``image_id``, ``label``, ``source_id``, ``domain``; ``source_group`` and
        ``sha256`` where known.
        Manifests are better: they know which images are copies of one cell.
    few
        Fewer cells than this in all sets together are a gap.

    Returns
    -------
    counts
        A row per class of ``CLASSES``, and of ``OTHER`` where it occurs: ``code``, ``label``, a
        column of cells per set, ``total``, ``domains`` (stains or laboratories; a set without any
        counts as one) and ``confounded_with``: the domain, if it is the only one.
    imbalance
        A row per set: ``dataset``, ``images``, ``cells``, ``classes`` (of a known kind of cell),
        the ``largest`` and ``smallest`` of them (codes) and ``imbalance_ratio`` of their cells.
    gaps
        A row per class of ``CLASSES`` that needs more: ``code``, ``label``, ``total`` and ``gap``
        (in no set, fewer than ``few`` cells, or one laboratory only).
    """
    images = {name: _accepted(listing) for name, listing in listings.items()}
    cells = {name: _cells(name, listed) for name, listed in images.items()}
    every = pd.concat([pd.DataFrame(columns=_CELL), *cells.values()], ignore_index=True)
    names = CLASSES | {code: name for code, name in OTHER.items() if code in set(every["code"])}
    counts = pd.DataFrame({"code": [*names], "label": [*names.values()]})
    for name, found in cells.items():
        counts[name] = counts["code"].map(found["code"].value_counts()).fillna(0).astype(int)
    once = every.drop_duplicates(["code", "key"])
    counts["total"] = counts["code"].map(once["code"].value_counts()).fillna(0).astype(int)
    domains = every.groupby("code")["domain"].agg(["nunique", "first"])
    counts["domains"] = counts["code"].map(domains["nunique"]).fillna(0).astype(int)
    single = domains.loc[domains["nunique"] == 1, "first"]
    counts["confounded_with"] = counts["code"].map(single)
    rows = [
        {"dataset": name, "images": len(images[name])} | _balance(found["code"])
        for name, found in cells.items()
    ]
    heading = "Cells in all data sets"
    return (
        describe(
            counts,
            heading,
            "Independent cells of the 13 classes of WBCBench 2026, and of others, in every data "
            "set that lies in the same folder.",
        ),
        describe(
            pd.DataFrame(rows, columns=_BALANCE),
            heading,
            "Largest against smallest class of each data set.",
        ),
        describe(
            _find_gaps(counts, few),
            "Classes that lack cells",
            "Classes that no set covers, or only one laboratory, or few cells.",
        ),
    )


@described(
    heading="Files that other data sets share",
    caption="Files that stand, byte by byte, in another data set of the same folder.",
)
def count_shared_files(manifest: pd.DataFrame, others: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Count the files of a data set that stand, byte by byte, in another.

    Parameters
    ----------
    manifest, others
        ``image_id``, ``label`` and ``sha256`` of the data set's images, and of others by name.

    Returns
    -------
    DataFrame
        A row per other data set that shares files: ``dataset``, ``files``, ``classes`` (of the
        first, joined by commas) and ``example`` (an image_id of the first).
    """
    rows = []
    for name, listing in others.items():
        shared = _accepted(manifest)
        shared = shared[shared["sha256"].isin(listing["sha256"].dropna())]
        if len(shared):
            classes = ", ".join(sorted(shared["label"].dropna().unique()))
            rows.append((name, len(shared), classes, shared["image_id"].iloc[0]))
    return pd.DataFrame(rows, columns=["dataset", "files", "classes", "example"])


@described(
    heading="Which classes lack cells",
    caption="Classes as the paper counts them, with the public set that it names and by how much "
    "that set outnumbers its own images; beside it the cells of this data set, those of all other "
    "sets in the same folder, each counted once, and by how much they outnumber it.",
)
def compare_gaps(
    counts: pd.DataFrame, printed: Mapping[str, Mapping[str, object]], *, dataset: str
) -> pd.DataFrame:
    """Put the gap analysis of a paper beside the one of the data sets at hand.

    Parameters
    ----------
    counts
        Of `analyse_gaps`.
    printed
        By the class's name in words: ``codes`` of ``CLASSES`` or ``OTHER``, and as printed
        ``images``, ``others`` (the set with more of them) and ``gain``.
    dataset
        The set, a column of ``counts``, that all others are held against.

    Returns
    -------
    DataFrame
        A row per class of ``printed``: ``class``, ``codes``, ``printed_images``,
        ``printed_others``, ``printed_gain`` (text), ``cells``, ``cells_elsewhere``, ``largest``
        (the other set with the most; empty if none has any) and ``gain``; NaN where the set has no
        cell.
    """
    others = [name for name in counts if name not in (dataset, *NOT_SETS)]
    rows = []
    for name, known in printed.items():
        found = counts[counts["code"].isin(known["codes"])]
        own, every = int(found[dataset].sum()), int(found["total"].sum())
        largest = found[others].sum().nlargest(1)
        rows.append(
            {
                "class": name,
                "codes": ", ".join(known["codes"]),
                "printed_images": known["images"],
                "printed_others": known["others"],
                "printed_gain": known["gain"],
                "cells": own,
                "cells_elsewhere": every - own,
                "largest": ", ".join(largest.index[largest > 0]),
                "gain": (every - own) / own if own else float("nan"),
            }
        )
    return pd.DataFrame(rows)


_CELL = ["code", "domain", "key"]
_BALANCE = ["dataset", "images", "cells", "classes", "largest", "smallest", "imbalance_ratio"]


def _accepted(listing: pd.DataFrame) -> pd.DataFrame:
    return listing[listing["status"] == "ok"] if "status" in listing else listing


def _cells(name: str, images: pd.DataFrame) -> pd.DataFrame:
    """List cells and codes, their domain, and a key that is the same for the same file."""
    image, domain = name + "/" + images["image_id"], images["domain"].fillna(name)
    source = images["source_group" if "source_group" in images else "source_id"]
    is_original = source.notna() & ~source.isin(images["image_id"])
    file = images["sha256"].fillna(image) if "sha256" in images else image
    frame = pd.DataFrame(
        {
            "code": images["label"].map(harmonise).fillna("UNKNOWN"),
            "domain": domain,
            "key": file.where(~is_original, domain + "/" + source),
            "cell": source if source.notna().any() else image,
        }
    )
    return frame.dropna(subset=["cell"]).drop_duplicates(["code", "cell"])[_CELL]


def _balance(codes: pd.Series) -> dict:
    counts = codes[~codes.isin(["SEVERAL", "UNKNOWN"])].value_counts()
    row = {"cells": len(codes), "classes": len(counts)}
    if len(counts):
        row |= {"largest": counts.index[0], "smallest": counts.index[-1]}
        row["imbalance_ratio"] = counts.iloc[0] / counts.iloc[-1]
    return row


def _find_gaps(counts: pd.DataFrame, few: int) -> pd.DataFrame:
    table = counts[counts["code"].isin(CLASSES)]
    gap = table["confounded_with"].map("one laboratory only ({})".format, na_action="ignore")
    gap = gap.astype(object).mask(table["total"] < few, f"fewer than {few} cells")
    gap = gap.mask(table["total"] == 0, "in no set")
    return (
        table[["code", "label", "total"]]
        .assign(gap=gap)
        .dropna(subset=["gap"])
        .reset_index(drop=True)
    )
