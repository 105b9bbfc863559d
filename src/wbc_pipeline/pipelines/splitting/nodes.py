"""Nodes that split, and the assertion that no split leaks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import lazy_loader as lazy
import numpy as np

from wbc_pipeline.datasets.results import Result, Task
from wbc_pipeline.errors import UserError
from wbc_pipeline.evaluation.scores.protocols import LEAK_FREE
from wbc_pipeline.keys import Key, code_digest, digest, run_name
from wbc_pipeline.pipelines.splitting.absent_classes import (
    describe_absent_classes,
    describe_left_out,
    describe_moved_parts,
    describe_unused,
)
from wbc_pipeline.pipelines.splitting.options import UNUSED, Protocols, SplittingOptions
from wbc_pipeline.pipelines.splitting.scope import add_outside, choose_dealt, choose_outside
from wbc_pipeline.training.options import OUTSIDE

pd = lazy.load("pandas")

_log = logging.getLogger(__name__)

PARTS = ("train", "validation", "test")
_NEEDED = [
    *("dataset", "image_id", "label", "source_group"),
    *("filename_group", "published_part", "domain"),
]
_ORDERS_TRIED = 100


class SplitError(UserError):
    """A protocol cannot be followed on these images, or its split leaks."""


def deal_splits(
    manifest: pd.DataFrame, protocols: Protocols, seeds: int, options: SplittingOptions
) -> dict[str, Task]:
    """Describe the split of each protocol and seed; once dealt, no command deals it otherwise.

    Returns
    -------
    dict of str to Task
        ``<protocol>-<seed>``; each makes the table ``splits``, see `split_images` and
        `limit_training` and `add_outside`.

    Raises
    ------
    UserError
        If no image is left to be dealt, or the published protocol has none to test.
    """
    if options.within != "all" and "published" in protocols.root:
        raise SplitError(
            "The published protocol tests the published test part, which "
            f"splitting.within={options.within} leaves out. Set splitting.within=all, or ask for "
            "other protocols, such as --params=protocols=source."
        )
    labelled = _labelled(manifest)
    images, outside = choose_dealt(labelled, options), choose_outside(labelled, options)
    limited = options.train_images is not None

    def compute(folder: Path, *, protocol: str, seed: int) -> None:
        splits = split_images(images, protocol, seed, options)
        if limited:
            splits = limit_training(splits, images, options.train_images)
        if len(outside):
            splits = add_outside(splits, images, outside)
        splits.to_parquet(folder / "splits.parquet")

    return {
        run_name(protocol, seed, 0): Task(
            Key(
                params={
                    "protocol": protocol,
                    "seed": seed,
                    "splitting": options.model_dump(
                        exclude=set() if protocol == "source" else {"folds"}, exclude_none=True
                    ),
                },
                data={
                    "images": _digest(images),
                    **({"outside": _digest(outside)} if len(outside) else {}),
                },
                code=code_digest(
                    split_images,
                    *([limit_training] if limited else []),
                    *([add_outside] if len(outside) else []),
                ),
            ),
            partial(compute, protocol=protocol, seed=seed),
        )
        for protocol in protocols.root
        for seed in range(seeds)
    }


def collect_splits(dealt: dict[str, Result], manifest: pd.DataFrame) -> pd.DataFrame:
    """Put the splits of this command together and assert that none leaks; see ``design``: splits.

    Classes that some part lacks are warned of, once per protocol, class and part, and published
    parts that play another or lack images, and images that a smaller training part leaves unused.

    Raises
    ------
    SplitError
        See `check_splits`.
    """
    splits = pd.concat([result.table("splits") for result in dealt.values()], ignore_index=True)
    check_splits(splits, manifest)
    for said in [
        *describe_moved_parts(splits, manifest),
        *describe_left_out(splits, manifest),
        *describe_unused(splits),
        *describe_absent_classes(splits, manifest),
    ]:
        _log.warning("%s", said)
    return splits


def _digest(images: pd.DataFrame) -> str:
    return digest(images[_NEEDED].astype(str).to_numpy().tolist())


def split_images(
    manifest: pd.DataFrame, protocol: str, seed: int, options: SplittingOptions
) -> pd.DataFrame:
    """Give every image a part, under one protocol and seed.

    Parameters
    ----------
    manifest
        See ``design``: manifest; only rows of status ``ok`` take part.
    protocol
        ``random``: stratified by class; copies of one cell fall on both sides. A class of fewer
        images than parts trains only.
        ``filename``: by what the file names suggest as source, which may be wrong: a trap, shown.
        ``published``: the data set's own parts; a validation part is drawn from the training
        part where none is published. Where the published test part has no labels, or there is
        none, the published validation part is tested, and another is drawn. Of sets that come
        degraded, images that show a cell or patient of a later part (validation, test) are left
        out, see `describe_left_out`.
        ``source``: stratified by class, all images of a source, of sources that show one cell,
        and of a patient where patients are known, on one side. A class of fewer sources than
        parts trains only, unless a source of it also shows a class that would lack somewhere.
        Images of unknown source are left out, and warned of.
        ``domain``: a fold per stain or laboratory tests all of it, and trains and validates on the
        others, by source. ``dataset``: the same with data sets.
    seed
        Of the shuffling.
    options
        Shares of validation and test.

    Returns
    -------
    DataFrame
        ``dataset``, ``image_id``, ``protocol``, ``seed``, ``fold`` (0 without cross-validation),
        ``part`` (train, validation, test). Images without a label stand in none.

    Raises
    ------
    SplitError
        If the data set lacks what a protocol needs, or has too few images. A class of fewer
        sources than parts is missing in some part, see `describe_absent_classes`.
    """
    images = _labelled(manifest)
    folds = [
        images.loc[parts.index, ["dataset", "image_id"]].assign(
            protocol=protocol, seed=seed, fold=fold, part=parts
        )
        for fold, parts in enumerate(_SPLITTERS[protocol](images, options, seed))
    ]
    return pd.concat(folds, ignore_index=True)


def limit_training(splits: pd.DataFrame, manifest: pd.DataFrame, count: int) -> pd.DataFrame:
    """Let every training part have equally many images, so that protocols can be compared.

    What a protocol costs is else mixed up with how many images it leaves to train on, and with the
    steps of an epoch, which follow from them.

    Parameters
    ----------
    splits
        Of one protocol and seed, see `split_images`.
    manifest
        See ``design``: manifest.
    count
        Images that stay in the training part of each fold: drawn by the seed, in the shares of the
        classes there, and one at least of each class if there are so many. The others become
        ``unused``; no other part changes.

    Raises
    ------
    SplitError
        If a training part has fewer.
    """
    labels = splits["image_id"].map(manifest.set_index("image_id")["label"])
    limited = splits.copy()
    for (protocol, seed, fold), split in splits.groupby(["protocol", "seed", "fold"]):
        training = split.index[split["part"] == "train"]
        if len(training) < count:
            raise SplitError(
                f"`splitting.train_images` is {count}, but the {protocol} split of seed {seed} has "
                f"{len(training)} training images in fold {fold}. Lower `splitting.train_images`, "
                "or raise `splitting.folds` where that is the source protocol."
            )
        shuffled = np.random.default_rng([seed, fold]).permutation(training)
        of_class = labels[shuffled].groupby(labels[shuffled])
        # What stands at one share of each class is drawn together, from 0 up.
        place = of_class.cumcount() / of_class.transform("size")
        limited.loc[place.sort_values(kind="stable").index[count:], "part"] = UNUSED
    return limited


def _labelled(manifest: pd.DataFrame) -> pd.DataFrame:
    from wbc_pipeline.imaging.packing import accepted

    return accepted(manifest).dropna(subset="label")


def check_splits(splits: pd.DataFrame, manifest: pd.DataFrame) -> None:
    """Assert that no cell stands on two sides where it must not, and that no part is empty.

    What stands on one side only is a ``source_group``, and with it each ``source_id``; images that
    are not used stand on none. No image is tested twice under one seed, and of several classes two
    are tested.

    Raises
    ------
    SplitError
        Naming protocol, seed and an example.
    """
    used = splits[splits["part"] != UNUSED]
    rows = used.merge(manifest[["image_id", "label", "source_group"]], on="image_id")
    tested = rows[rows["part"] == "test"]
    assert not tested.duplicated(["protocol", "seed", "image_id"]).any(), "folds overlap"
    for (protocol, seed, fold), split in rows.groupby(["protocol", "seed", "fold"]):
        missing = set(PARTS) - set(split["part"])
        if missing:
            raise SplitError(
                f"The {protocol} split of seed {seed} has no {' and no '.join(sorted(missing))} "
                f"images in fold {fold}: {len(split)} are too few to split; add images."
            )
        side = split["part"].replace(OUTSIDE, "train")
        sides = side.groupby(split["source_group"]).nunique()
        if protocol in LEAK_FREE and (sides > 1).any():
            raise SplitError(
                f"The {protocol} split of seed {seed} leaks: source {sides.idxmax()!r} stands on "
                f"{sides.max()} sides. This is a bug in the split; please report it."
            )
    for (protocol, seed), split in rows.groupby(["protocol", "seed"]):
        if split["label"].nunique() > 1:  # scores of one class are said to mean nothing
            _check_tested_classes(split, protocol, seed)


def _check_tested_classes(split: pd.DataFrame, protocol: str, seed: int) -> None:
    tested = sorted(split.loc[split["part"] == "test", "label"].unique())
    if len(tested) > 1:
        return
    what = "image_id" if protocol == "random" else "source_group"
    units = split[what].fillna(split["image_id"]).groupby(split["label"]).nunique()
    counts = ", ".join(f"{label}: {count}" for label, count in units.sort_values().items())
    raise SplitError(
        f"The {protocol} split of seed {seed} can test {' and '.join(tested) or 'no class'} alone, "
        f"and scores need two classes or more. A class of fewer "
        f"{'images' if protocol == 'random' else 'sources'} than the {len(PARTS)} parts only "
        f"trains; there are {counts}. Add images, or ask for other protocols."
    )


def _split_randomly(images: pd.DataFrame, options: SplittingOptions, seed: int) -> list[pd.Series]:
    from sklearn.model_selection import train_test_split

    counts = images["label"].map(images["label"].value_counts())
    labels = images.loc[counts >= len(PARTS), "label"]  # rarer classes train only
    share = options.validation / (1 - options.test)
    try:
        rest, test = train_test_split(
            labels.index, test_size=options.test, stratify=labels, random_state=seed
        )
        _, validation = train_test_split(
            rest, test_size=share, stratify=labels[rest], random_state=seed
        )
    except ValueError as error:
        raise SplitError(
            f"{len(images)} images of {images['label'].nunique()} classes are too few for a "
            f"stratified split with {options.validation:.0%} validation and {options.test:.0%} "
            f"test images ({error}); add images."
        ) from error
    parts = pd.Series("train", index=images.index)
    parts[validation], parts[test] = "validation", "test"
    return [parts]


def _of_known_source(images: pd.DataFrame, options: SplittingOptions) -> pd.DataFrame:
    unknown = images["source_group"].isna()
    if unknown.mean() > options.max_unknown:
        raise SplitError(
            f"A split by source needs to know which cell each image shows, but that is unknown "
            f"for {unknown.sum()} of {len(images)} images, such as "
            f"{images.loc[unknown, 'image_id'].iloc[0]!r}. Ask for other protocols, such as "
            "--params=protocols=random+published, or raise `splitting.max_unknown` to leave these "
            "images out."
        )
    if unknown.any():
        _log.warning("%d images of unknown source are left out of the split.", unknown.sum())
    return images[~unknown]


def _split_by_source(images: pd.DataFrame, options: SplittingOptions, seed: int) -> list[pd.Series]:
    known = _of_known_source(images, options)
    groups, labels = known["source_group"], known["label"]
    if options.folds == 1:
        return [_allocate_groups(groups, labels, _shares(options), seed)]
    sources = known.groupby("label")["source_group"].nunique()
    if sources.max() < options.folds:
        raise SplitError(
            f"`splitting.folds` is {options.folds}, but these images allow at most {sources.max()} "
            "folds: each fold tests sources of its own, and no class has more of them than "
            f"{sources.idxmax()!r}. Lower `splitting.folds`, or add images of more sources."
        )
    names = range(options.folds)
    fold_of = _allocate_groups(groups, labels, dict.fromkeys(names, 1 / options.folds), seed)
    return [_test_on(fold_of == fold, known, options, seed) for fold in names]


def _test_on(
    tested: pd.Series, images: pd.DataFrame, options: SplittingOptions, seed: int
) -> pd.Series:
    """Test some images; train and validate by source on those that show none of their cells."""
    groups = images["source_group"]
    rest = images.index[~groups.isin(groups[tested])]
    shares = {"train": 1 - options.validation, "validation": options.validation}
    parts = pd.Series("test", index=images.index[tested])
    return pd.concat([parts, _allocate_groups(groups[rest], images["label"][rest], shares, seed)])


def _leave_one_out(column: str, what: str) -> Callable[..., list[pd.Series]]:
    def split(images: pd.DataFrame, options: SplittingOptions, seed: int) -> list[pd.Series]:
        known = _of_known_source(images, options)
        unnamed = known[column].isna()
        if unnamed.any():
            raise SplitError(
                f"The {column} protocol leaves one {what} out, but {_some(unnamed, known)} have "
                f"none (column {column} of the manifest); give each image one, or ask for other "
                "protocols, such as --params=protocols=source."
            )
        names = sorted(known[column].unique())
        if len(names) < 2:
            raise SplitError(
                f"The {column} protocol leaves one {what} out, but all images are of one "
                f"({names[0]}); ask for other protocols, such as --params=protocols=source, or "
                "join data sets: --params=dataset=a+b."
            )
        return [_test_on(known[column] == name, known, options, seed) for name in names]

    return split


def _split_by_filename(
    images: pd.DataFrame, options: SplittingOptions, seed: int
) -> list[pd.Series]:
    missing = images["filename_group"].isna()
    if missing.any():
        raise SplitError(
            f"The names of {_some(missing, images)} do not suggest any source (column "
            "filename_group of the manifest is empty there); ask for other protocols, such as "
            "--params=protocols=random+source."
        )
    return [_allocate_groups(images["filename_group"], images["label"], _shares(options), seed)]


def _split_as_published(
    images: pd.DataFrame, options: SplittingOptions, seed: int
) -> list[pd.Series]:
    missing = images["published_part"].isna()
    if missing.all():
        raise SplitError(
            "This data set has no published split (column published_part of the manifest is "
            "empty); ask for other protocols, such as --params=protocols=random+source."
        )
    if missing.any():
        raise SplitError(
            f"{_some(missing, images)} have no published part; give each image one, or ask for "
            "other protocols, such as --params=protocols=random+source."
        )
    is_test = images["published_part"] == "test"
    if not is_test.any():  # a challenge keeps its labels, so that validation is what can be tested
        is_test = images["published_part"] == "validation"
    rest = _without_twins(images[~is_test], images[is_test])
    if not is_test.any() or rest.empty:
        raise SplitError(
            "The published split has no labelled test part and no validation part in its place, or "
            "nothing but one; ask for other protocols."
        )
    is_validation = rest["published_part"] == "validation"
    if is_validation.any():
        train = _without_twins(rest[~is_validation], rest[is_validation])
        kept = pd.concat([train, rest[is_validation], images[is_test]]).index
        return [images.loc[images.index.isin(kept), "published_part"]]
    from wbc_pipeline.imaging.packing import independent_sources

    # Where sources are unknown each image counts as its own: validation then only stops the
    # training, and the published test part stays apart.
    groups = independent_sources(rest)
    shares = {"train": 1 - options.validation, "validation": options.validation}
    parts = pd.Series("test", index=images.index[is_test])
    dealt = _allocate_groups(groups, rest["label"], shares, seed)
    return [pd.concat([parts, dealt]).reindex(images.index).dropna()]


def _without_twins(images: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Leave out images that show a cell or patient of others, of sets that come degraded.

    Other sets keep the published parts as they are, leaks included: their papers did.
    """
    from wbc_pipeline.sources.combined import come_degraded

    twins = images["source_group"].isin(others["source_group"].dropna())
    degraded = [name for name in images.loc[twins, "dataset"].unique() if come_degraded(name)]
    return images[~(twins & images["dataset"].isin(degraded))]


_SPLITTERS = {
    "random": _split_randomly,
    "filename": _split_by_filename,
    "published": _split_as_published,
    "source": _split_by_source,
    "domain": _leave_one_out("domain", "stain or laboratory"),
    "dataset": _leave_one_out("dataset", "data set"),
}


def _some(chosen: pd.Series, images: pd.DataFrame) -> str:
    example = images.loc[chosen, "image_id"].iloc[0]
    return f"{chosen.sum()} of {len(images)} images, such as {example!r},"


def _shares(options: SplittingOptions) -> dict[str, float]:
    return {
        "train": 1 - options.validation - options.test,
        "test": options.test,
        "validation": options.validation,
    }


def _allocate_groups(
    groups: pd.Series, labels: pd.Series, shares: dict[str, float], seed: int
) -> pd.Series:
    """Deal groups of images out to parts so that every class stands in every part if it can.

    Several orders are tried where groups of several classes make the first fail, which puts the
    first group of a class into the training part, and every group of a class that has to lack
    somewhere.
    """
    random = np.random.default_rng(seed)
    counts = pd.crosstab(groups, labels)
    dealt = []
    for order in range(_ORDERS_TRIED):
        parts = _deal_groups(counts, shares, random, any_part=order > 0)
        absent = _absent_classes(counts, parts, list(shares))
        # A class of fewer groups than parts has to lack somewhere.
        avoidable = sum((counts[label] > 0).sum() >= len(shares) for label, _ in absent)
        untrained = sum(part == "train" for _, part in absent)
        dealt.append(((avoidable, untrained, len(absent)), parts))
        if not avoidable:
            break
    _, parts = min(dealt, key=lambda deal: deal[0])
    return groups.map(dict(zip(counts.index, parts, strict=True)))


def _deal_groups(
    counts: pd.DataFrame, shares: dict[str, float], random: np.random.Generator, *, any_part: bool
) -> np.ndarray:
    """Deal the groups of each class out, rarest class first, to the part that lacks most of it.

    A part that has no image of the class comes first: in the order of the shares, or any of them.
    A class of fewer groups than parts, which must lack somewhere, trains; or, where any part may
    come first or none trains, takes what comes. A group of several classes is dealt out with the
    rarest of them.
    """
    parts, numbers = list(shares), counts.to_numpy()
    groups_of_class = (numbers > 0).sum(axis=0)
    rarest = np.where(numbers > 0, groups_of_class, len(numbers) + 1).argmin(axis=1)
    dealt = np.full(len(numbers), -1)
    for label in np.argsort(groups_of_class, kind="stable"):
        members = numbers[:, label]
        held = np.array([members[dealt == part].sum() for part in range(len(parts))])
        lacking = np.array(list(shares.values())) * members.sum() - held
        for group in random.permutation(np.flatnonzero(rarest == label)):
            empty = np.flatnonzero(held == 0)
            if any_part and groups_of_class[label] < len(parts):
                part = random.integers(len(parts))
            elif "train" in shares and groups_of_class[label] < len(parts):
                part = parts.index("train")
            elif len(empty):
                part = random.choice(empty) if any_part else empty[0]
            else:
                part = lacking.argmax()
            dealt[group] = part
            held[part] += members[group]
            lacking[part] -= members[group]
    return np.array(parts)[dealt]


def _absent_classes(
    counts: pd.DataFrame, parts: np.ndarray, names: list[str]
) -> list[tuple[str, str]]:
    """List the classes and parts of which no image was dealt to the other."""
    held = counts.groupby(parts).sum().reindex(names, fill_value=0)
    return [(label, part) for label in counts for part in names if not held.loc[part, label]]
