"""What a reviewer asks of an image set before believing a score on it.

``manifest`` is that of the design; only images of status ``ok`` count, unless said otherwise. A
source (``source_id``) is one physical cell or one
original photograph. Sources that may show the same cell, such as overlapping photographs, are one
independent source (``source_group``): what a split must keep together. Where sources are not known
a number that needs them is missing, never 0.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import kruskal
from scipy.stats.contingency import association
from sklearn.metrics import adjusted_mutual_info_score

from wbc_pipeline.evaluation.report.described import describe, described
from wbc_pipeline.evaluation.scores.intervals import resampling_units
from wbc_pipeline.imaging.packing import accepted, rejected

PARTS = ("train", "validation", "test")
COPIES = 2.0  # mean images per source from which a set is made of copies: most cells appear twice
KINDS = ("identical file", "identical pixels", "near-duplicate", "same spot")


@described(
    heading="Images of each class",
    caption="Images, sources and independent sources (those that show one cell are one).",
)
def count_images(
    manifest: pd.DataFrame, by: Sequence[str] = ("label", "domain", "published_part")
) -> pd.DataFrame:
    """Count images, and the sources behind them.

    Returns
    -------
    DataFrame
        A row per combination of ``by`` that occurs (missing values are one of their own):
        ``images``, ``sources`` and ``independent_sources`` (Int64; a source that stands in several
        rows counts in each) and ``images_per_source``. Images of unknown source are no source:
        where none is known, all three are missing.
    """
    groups = accepted(manifest).groupby([*by], dropna=False, observed=True)
    table = groups.agg(
        images=("image_id", "size"),
        sources=("source_id", "nunique"),
        independent_sources=("source_group", "nunique"),
        images_per_source=("source_id", "count"),
    ).reset_index()
    known = table["images_per_source"] > 0
    for name in ("sources", "independent_sources"):
        table[name] = table[name].astype("Int64").where(known)
    table["images_per_source"] = table["images_per_source"] / table["sources"]
    return table


def describe_files(manifest: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Count the sizes of the files, and the reasons why files were refused.

    Returns
    -------
    sizes
        A row per ``width``, ``height`` (pixels), ``label`` and ``domain``: ``images``; the most
        frequent size first.
    rejects
        A row per ``reason``: ``images``, ``share`` of all listed files (0 to 1) and ``example``
        (an image_id). Refused files only.
    """
    keys = ["width", "height", "label", "domain"]
    sizes = accepted(manifest).groupby(keys, dropna=False).size().reset_index(name="images")
    rarity = -sizes.groupby(["width", "height"])["images"].transform("sum")
    sizes = sizes.iloc[rarity.argsort(kind="stable")].reset_index(drop=True)
    refused = rejected(manifest)
    reasons = refused["status"].astype("str").str.replace(":.*", "", regex=True).rename("reason")
    rejects = refused.groupby(reasons).agg(images=("image_id", "size"), example=("image_id", "min"))
    rejects.insert(1, "share", rejects["images"] / max(len(manifest), 1))
    rejects = rejects.sort_values("images", ascending=False).reset_index()
    return sizes, rejects


def summarise_measurements(
    measurements: pd.DataFrame, manifest: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Summarise measurements by class and domain, and how much these explain of them.

    Parameters
    ----------
    measurements
        A row per image that is ok, in the manifest's order; every numeric column is one
        measurement.

    Returns
    -------
    summary
        A row per class and per domain: ``grouping`` (label or domain), ``group``, ``images``, and
        for each measurement ``x`` its median ``x`` and quartiles ``x_low`` and ``x_high``.
    explained
        A row per measurement and grouping: ``measurement``, ``grouping``, ``groups``, ``units``,
        ``eta_squared`` (share of the variance between groups, 0 to 1) and ``p_kruskal_wallis``.
        An independent source is one unit, by the mean of its images, as copies of one cell are no
        independent evidence; so is an image whose source is not known. Both are NaN where a
        measurement is constant or there is one group.

    Raises
    ------
    ValueError
        If there is not a row per image that is ok.
    """
    images = accepted(manifest)
    _check_rows(measurements, images, "measurements")
    values = measurements.select_dtypes("number").reset_index(drop=True)
    groupings = [name for name in ("label", "domain") if images[name].notna().any()]
    if images.empty or values.empty:
        groupings = []
    summaries = [_quartiles(values, images[name]) for name in groupings]
    independent = images.assign(source_id=images["source_group"])
    units = pd.Series(resampling_units(independent)[0], index=images.index)
    rows = [
        {"measurement": measurement, "grouping": name} | _explain(values[measurement], group, units)
        for name in groupings
        for measurement, group in ((column, images[name]) for column in values)
    ]
    explained = ["measurement", "grouping", "groups", "units", "eta_squared", "p_kruskal_wallis"]
    empty = pd.DataFrame(columns=["grouping", "group", "images"])
    summary = pd.concat(summaries, ignore_index=True) if summaries else empty
    return (
        describe(summary, "How images look", "Medians and quartiles."),
        describe(
            pd.DataFrame(rows, columns=explained),
            "What the look of an image depends on",
            "Share of the variance of each measurement that lies between classes or domains, over "
            "sources.",
        ),
    )


@described(
    heading="Images that show the same spot",
    caption="Groups of files that show the same spot of a slide, by their closest tie: the same "
    "bytes, the same pixels, alike as they lie, or shifted, turned or zoomed.",
)
def list_duplicates(manifest: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """List the images that show the same picture as another file.

    Where a set is made of copies (sources are known and show ``COPIES`` images or more on average,
    such as the augmented photographs of ``blood_cells``), two similar copies of one source are what
    the set promises, and hundreds of such pairs would hide the few that matter. Near-duplicates are
    then listed only if their group spans two sources, labels or published parts. Identical files
    and pixels are always listed: the same copy twice is no augmentation. In a set that has one
    image per cell, and where sources are not known, every group is a finding.

    Parameters
    ----------
    groups
        A row per image that is ok, in the manifest's order: ``group`` (of images that show one
        spot of a slide), ``duplicate_group`` (of those that are alike as they lie, turned by right
        angles or mirrored) and ``pixel_hash`` (equal means identical pixels).

    Returns
    -------
    DataFrame
        A row per image of a group of two files or more: ``group``, ``kind`` (one of ``KINDS``: the
        closest tie to any other of the group), ``image_id``, ``label``, ``domain``,
        ``published_part``, ``source_id``; groups in the manifest's order.

    Raises
    ------
    ValueError
        If there is not a row per image that is ok.
    """
    images = accepted(manifest)
    _check_rows(groups, images, "groups")
    images = images.assign(**{name: groups[name].to_numpy() for name in groups})
    ties = [
        images.duplicated(["group", name], keep=False)
        for name in ("sha256", "pixel_hash", "duplicate_group")
    ]
    same_file, same_pixels, _ = ties
    images.insert(0, "kind", np.select(ties, KINDS[:3], KINDS[3]))
    listed = images["group"].duplicated(keep=False)
    if _is_made_of_copies(images):
        spanned = images.groupby("group")[["source_id", "label", "published_part"]].nunique()
        crossing = spanned.index[(spanned > 1).any(axis=1)]
        listed &= images["group"].isin(crossing) | same_file | same_pixels
    columns = ["group", "kind", "image_id", "label", "domain", "published_part", "source_id"]
    return images.loc[listed, columns].sort_values("group", kind="stable", ignore_index=True)


@described(
    heading="Conflicting labels",
    caption="Images of one source that carry different labels.",
)
def list_conflicts(manifest: pd.DataFrame) -> pd.DataFrame:
    """List the images of sources with more than one label: at least one of these is wrong.

    Images without a label or a known source are left out. Overlapping photographs may rightly carry
    different labels, as each may be of another of the cells that they show: they are compared in
    ``tracing.describe_overlaps``.

    Returns
    -------
    DataFrame
        A row per image: ``source_id``, ``image_id``, ``label``, ``labels`` (all of its source,
        sorted and joined by commas).
    """
    images = accepted(manifest).dropna(subset=["source_id", "label"])
    pairs = images[["source_id", "label"]].drop_duplicates().sort_values("label")
    labels = pairs.groupby("source_id")["label"].agg(", ".join).rename("labels")
    several = images["source_id"].isin(pairs.loc[pairs["source_id"].duplicated(), "source_id"])
    conflicts = images.loc[several, ["source_id", "image_id", "label"]]
    return conflicts.join(labels, on="source_id").sort_values(
        ["source_id", "image_id"], ignore_index=True
    )


@described(
    heading="What the file names suggest",
    caption="How far the numbers in file names go with the sources.",
)
def examine_filename_groups(manifest: pd.DataFrame) -> pd.DataFrame:
    """Compare what the files' names suggest as source with the source itself.

    Returns
    -------
    DataFrame
        One row over the images of which both are known, none if there are no such images:
        ``images``, ``filename_groups``, ``sources``; ``sources_per_group`` (mean),
        ``most_sources_per_group`` and ``most_within_class`` (of one label and published part, in
        case the names count anew in each folder); ``sources_spread`` (sources whose images stand in
        several groups) and ``spread_share`` of all sources (0 to 1);
        ``adjusted_mutual_information`` (1 if names and sources agree, about 0 if they have nothing
        to do with each other).

    References
    ----------
    Vinh, Epps and Bailey, *Information theoretic measures for clusterings comparison*, JMLR 11,
    2010.
    """
    images = accepted(manifest).dropna(subset=["filename_group", "source_id"])
    per_group = images.groupby("filename_group")["source_id"].nunique()
    folders = ["published_part", "label", "filename_group"]
    per_folder = images.groupby(folders, dropna=False)["source_id"].nunique()
    spread = images.groupby("source_id")["filename_group"].nunique() > 1
    row = {
        "images": len(images),
        "filename_groups": len(per_group),
        "sources": len(spread),
        "sources_per_group": per_group.mean(),
        "most_sources_per_group": per_group.max(),
        "most_within_class": per_folder.max(),
        "sources_spread": spread.sum(),
        "spread_share": spread.mean(),
        "adjusted_mutual_information": adjusted_mutual_info_score(
            images["source_id"].to_numpy(object), images["filename_group"].to_numpy(object)
        ),
    }
    return pd.DataFrame([row]).iloc[: len(images)]  # of no images: the columns alone


@described(
    heading="Classes and laboratories",
    caption="From how many laboratories or stains each class comes.",
)
def measure_confounding(manifest: pd.DataFrame) -> pd.DataFrame:
    """Measure how far the domain (stain or laboratory) of an image gives its class away.

    Returns
    -------
    DataFrame
        A row per class: ``label``, ``images``, ``domains`` (how many it comes from, 0 where not
        known), ``main_domain``, ``main_share`` (of its images of known domain, 0 to 1) and
        ``cramers_v`` of the whole table of classes and domains (the same in each row; 0 where they
        are independent, 1 where one follows from the other, NaN with one class or domain).

    References
    ----------
    Cramér, *Mathematical Methods of Statistics*, 1946, chapter 21.
    """
    images = accepted(manifest)
    domains = images.groupby("label")["domain"]
    table = pd.DataFrame(
        {
            "images": domains.size(),
            "domains": domains.nunique(),
            "main_domain": domains.agg(lambda found: found.mode().get(0)),
            "main_share": domains.agg(lambda found: found.value_counts(normalize=True).max()),
            "cramers_v": cramers_v(pd.crosstab(images["label"], images["domain"])),
        }
    )
    return table.reset_index()


def cramers_v(counts: pd.DataFrame) -> float:
    """Cramér's V of a table of counts; NaN if fewer than two rows or columns hold any.

    >>> cramers_v(pd.DataFrame({"Barcelona": [20, 0], "Munich": [0, 10]}))
    1.0
    """
    filled = counts.loc[counts.any(axis=1), counts.any(axis=0)].to_numpy()
    if min(filled.shape) < 2:
        return np.nan
    return float(association(filled, method="cramer"))


def _check_rows(table: pd.DataFrame, images: pd.DataFrame, name: str) -> None:
    if len(table) != len(images):
        raise ValueError(
            f"{name} has {len(table)} rows, but the manifest has {len(images)} images that are ok: "
            f"compute {name} from the images that were packed with this manifest"
        )


def _is_made_of_copies(images: pd.DataFrame) -> bool:
    sources = images["source_id"].nunique()
    return bool(sources and images["source_id"].count() / sources >= COPIES)


def _quartiles(values: pd.DataFrame, group: pd.Series) -> pd.DataFrame:
    """Median and quartiles of each column of ``values``, a row per group."""
    groups = values.groupby(group.to_numpy())
    table = {"images": groups.size()}
    for name in values:
        for suffix, level in {"": 0.5, "_low": 0.25, "_high": 0.75}.items():
            table[name + suffix] = groups[name].quantile(level)
    frame = pd.DataFrame(table).rename_axis("group").reset_index()
    frame.insert(0, "grouping", group.name)
    return frame


def _explain(values: pd.Series, group: pd.Series, units: pd.Series) -> dict:
    """Share of the variance between groups, and the Kruskal-Wallis test, over units."""
    means = values.groupby([units.to_numpy(), group.to_numpy()]).mean().dropna()
    samples = [sample.to_numpy() for _, sample in means.groupby(level=1)]
    row = {"groups": len(samples), "units": len(means), "eta_squared": np.nan}
    row["p_kruskal_wallis"] = np.nan
    total = means.var(ddof=0) * len(means)
    if len(samples) > 1 and total > 0:
        between = sum(len(s) * (s.mean() - means.mean()) ** 2 for s in samples)
        row["eta_squared"] = between / total
        row["p_kruskal_wallis"] = kruskal(*samples).pvalue
    return row
