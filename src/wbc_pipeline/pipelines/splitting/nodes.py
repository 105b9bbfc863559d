"""Nodes that split, and the assertion that no split leaks."""

import logging

import numpy as np
import pandas as pd

from wbc_pipeline.pipelines.splitting.options import Protocols, SplittingOptions

_log = logging.getLogger(__name__)

PARTS = ("train", "validation", "test")


class SplitError(ValueError):
    """A protocol cannot be followed on these images, or its split leaks."""


def split_images(
    manifest: pd.DataFrame, protocols: Protocols, seeds: int, options: SplittingOptions
) -> pd.DataFrame:
    """Give every image a part, under each protocol and seed.

    Parameters
    ----------
    manifest
        See ``design``: manifest; only rows of status ``ok`` take part.
    protocols
        ``random``: stratified by class; copies of one cell fall on both sides.
        ``published``: the data set's own parts; a validation part is drawn from the training
        part where none is published.
        ``source``: stratified by class, all images of a source on one side.
    seeds
        How many; 0, 1, … are used.
    options
        Shares of validation and test.

    Returns
    -------
    DataFrame
        ``image_id``, ``protocol``, ``seed``, ``part`` (train, validation, test).

    Raises
    ------
    SplitError
        If the data set lacks what a protocol needs, a class has too few images, or a source
        stands on two sides of a ``source`` split. A class of fewer sources than parts is warned
        of, as some part then lacks it.
    """
    from wbc_pipeline.imaging.packing import accepted

    images = accepted(manifest)
    splits = pd.concat(
        [
            pd.DataFrame(
                {
                    "image_id": images["image_id"],
                    "protocol": protocol,
                    "seed": seed,
                    "part": _SPLITTERS[protocol](images, options, seed),
                }
            )
            for protocol in protocols.root
            for seed in range(seeds)
        ],
        ignore_index=True,
    )
    check_splits(splits, images)
    return splits


def check_splits(splits: pd.DataFrame, manifest: pd.DataFrame) -> None:
    """Assert that no source stands on two sides under ``source``, and no part is empty.

    Raises
    ------
    SplitError
        Naming protocol, seed and an example.
    """
    rows = splits.merge(manifest[["image_id", "source_id"]], on="image_id")
    for (protocol, seed), split in rows.groupby(["protocol", "seed"]):
        missing = set(PARTS) - set(split["part"])
        if missing:
            raise SplitError(
                f"The {protocol} split of seed {seed} has no {' and no '.join(sorted(missing))} "
                f"images: {len(split)} are too few to split; add images."
            )
        sides = split.groupby("source_id")["part"].nunique()
        if protocol == "source" and (sides > 1).any():
            raise SplitError(
                f"The source split of seed {seed} leaks: source {sides.idxmax()!r} stands on "
                f"{sides.max()} sides. This is a bug in the split; please report it."
            )


def _split_randomly(images: pd.DataFrame, options: SplittingOptions, seed: int) -> pd.Series:
    from sklearn.model_selection import train_test_split

    labels = images["label"]
    few = labels.value_counts()
    few = few[few < len(PARTS)]
    if len(few):
        raise SplitError(
            f"Class {few.index[0]!r} has {few.iloc[0]} image(s); a stratified split into train, "
            f"validation and test needs {len(PARTS)}. Add images or leave the class out."
        )
    share = options.validation / (1 - options.test)
    try:
        rest, test = train_test_split(
            images.index, test_size=options.test, stratify=labels, random_state=seed
        )
        _, validation = train_test_split(
            rest, test_size=share, stratify=labels[rest], random_state=seed
        )
    except ValueError as error:
        raise SplitError(
            f"{len(images)} images of {labels.nunique()} classes are too few for a stratified "
            f"split with {options.validation:.0%} validation and {options.test:.0%} test images "
            f"({error}); add images."
        ) from error
    parts = pd.Series("train", index=images.index)
    parts[validation], parts[test] = "validation", "test"
    return parts


def _split_by_source(images: pd.DataFrame, options: SplittingOptions, seed: int) -> pd.Series:
    _need_sources(images)
    shares = {
        "train": 1 - options.validation - options.test,
        "test": options.test,
        "validation": options.validation,
    }
    return _allocate_sources(images, shares, seed)


def _split_as_published(images: pd.DataFrame, options: SplittingOptions, seed: int) -> pd.Series:
    if images["published_part"].isna().any():
        raise SplitError(
            "This data set has no published split (column published_part of the manifest is "
            "empty); ask for other protocols, such as --params=protocols=random+source."
        )
    is_test = images["published_part"] == "test"
    rest = images[~is_test]
    if not is_test.any() or rest.empty:
        raise SplitError(
            "The published split names no test part, or nothing but one; ask for other protocols."
        )
    if (rest["published_part"] == "validation").any():
        return images["published_part"]
    # Where sources are unknown each image counts as its own: validation then only stops the
    # training, and the published test part stays apart.
    known = rest.assign(source_id=rest["source_id"].fillna(rest["image_id"]))
    shares = {"train": 1 - options.validation, "validation": options.validation}
    parts = pd.Series("test", index=images.index)
    parts[rest.index] = _allocate_sources(known, shares, seed)
    return parts


_SPLITTERS = {
    "random": _split_randomly,
    "published": _split_as_published,
    "source": _split_by_source,
}


def _need_sources(images: pd.DataFrame) -> None:
    unknown = images["source_id"].isna()
    if unknown.any():
        raise SplitError(
            f"The source protocol needs to know which cell each image shows, but source_id is "
            f"missing for {unknown.sum()} of {len(images)} images, such as "
            f"{images.loc[unknown, 'image_id'].iloc[0]!r}. Ask for other protocols, such as "
            "--params=protocols=random+published."
        )


def _allocate_sources(images: pd.DataFrame, shares: dict[str, float], seed: int) -> pd.Series:
    """Deal the sources of each class out to parts, in random order, to the part that lacks most.

    Each part gets one source first, so that every class stands in every part if it has as many
    sources as there are parts. A source counts for the class of most of its images.
    """
    random = np.random.default_rng(seed)
    sources = images.groupby("source_id")["label"].agg(
        label=lambda labels: labels.mode().iloc[0], size="size"
    )
    part_of = {}
    for label, members in sources.groupby("label"):
        if len(members) < len(shares):
            _log.warning(
                "Class %r has %d source(s) for %d parts (seed %d): it is missing from some.",
                label,
                len(members),
                len(shares),
                seed,
            )
        lacking = {part: share * members["size"].sum() for part, share in shares.items()}
        for place, source in enumerate(random.permutation(members.index)):
            part = list(shares)[place] if place < len(shares) else max(lacking, key=lacking.get)
            part_of[source] = part
            lacking[part] -= members.loc[source, "size"]
    return images["source_id"].map(part_of)
