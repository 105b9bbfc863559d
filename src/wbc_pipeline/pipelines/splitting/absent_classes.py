"""What a reader must know of a split: absent classes, moved parts, images not used; in words."""

from __future__ import annotations

import lazy_loader as lazy

from wbc_pipeline.pipelines.splitting.options import UNUSED

pd = lazy.load("pandas")

_MEANING = {
    "train": "no training image{}: no network can learn it, and its recall can only be 0 there",
    "validation": "no validation image{}: no choice of an epoch or threshold looks at it there",
    "test": "no test image{}: it has no scores there, and means over classes leave it out",
}


def describe_absent_classes(splits: pd.DataFrame, manifest: pd.DataFrame) -> list[str]:
    """Say which classes have no image in a part of a split, and what that means for scores.

    Parameters
    ----------
    splits
        See ``design``: splits.
    manifest
        With ``image_id``, ``label`` and ``source_group``.

    Returns
    -------
    A sentence per protocol, part, and class that the part lacks; one if there is a single class.

    Examples
    --------
    >>> manifest = pd.DataFrame({"image_id": [*"pqrs"], "label": [*"aaab"], "source_group": None})
    >>> splits = manifest[["image_id"]].assign(protocol="published", seed=0, fold=0)
    >>> splits["part"] = ["train", "validation", "test", "test"]
    >>> describe_absent_classes(splits, manifest)[0]
    "Under the published protocol class 'b' (1 image of 1 source) has no training image: no \
network can learn it, and its recall can only be 0 there."
    """
    rows = splits.merge(manifest[["image_id", "label", "source_group"]], on="image_id")
    rows["source_group"] = rows["source_group"].fillna(rows["image_id"])
    classes = rows.groupby("label").agg({"image_id": "nunique", "source_group": "nunique"})
    cells = pd.MultiIndex.from_product([_MEANING, classes.index])
    said = []
    if len(classes) == 1:
        said.append(
            f"Every image is labelled {classes.index[0]!r}: with one class every answer is right, "
            "so that accuracy, F1 and AUC say nothing here."
        )
    for protocol, dealt in rows.groupby("protocol", sort=False):
        held = dealt.groupby(["seed", "fold", "part", "label"]).size().unstack(["part", "label"])
        absent = held.reindex(columns=cells).isna().sum()
        for (part, label), times in absent[absent > 0].items():
            images, sources = classes.loc[label]
            size = f"{_count(images, 'image')} of {_count(sources, 'source')}"
            where = f" in {times} of {len(held)} splits" if len(held) > 1 else ""
            meaning = _MEANING[part].format(where)
            said.append(f"Under the {protocol} protocol class {label!r} ({size}) has {meaning}.")
    return said


def describe_moved_parts(splits: pd.DataFrame, manifest: pd.DataFrame) -> list[str]:
    """Say if the published protocol tests the published validation part, as no other has labels.

    Parameters
    ----------
    splits, manifest
        As in `describe_absent_classes`; of the manifest also ``published_part``.

    Returns
    -------
    One sentence, or none.
    """
    tested = splits[(splits["protocol"] == "published") & (splits["part"] == "test")]
    moved = manifest["image_id"].isin(tested["image_id"])
    moved &= manifest["published_part"] == "validation"
    if not moved.any():
        return []
    unlabelled = ((manifest["published_part"] == "test") & manifest["label"].isna()).sum()
    labels = f"the {_count(unlabelled, 'image')} of the published test part have no labels"
    why = labels if unlabelled else "no test part is published"
    return [
        "Under the published protocol the published validation part "
        f"({_count(moved.sum(), 'image')}) is tested, as {why}; the validation part is drawn from "
        "the training part by source."
    ]


def describe_left_out(splits: pd.DataFrame, manifest: pd.DataFrame) -> list[str]:
    """Say how many images the published protocol leaves out, as their cells are tested.

    Parameters
    ----------
    splits
        See ``design``: splits.
    manifest
        See ``design``: manifest.

    Returns
    -------
    One sentence, or none.
    """
    published = splits.loc[splits["protocol"] == "published", "image_id"]
    images = manifest[(manifest["status"] == "ok") & manifest["label"].notna()]
    left_out = images[~images["image_id"].isin(published)]
    if published.empty or left_out.empty:
        return []
    return [
        f"Under the published protocol {_count(len(left_out), 'image')} of the training part, such "
        f"as {left_out['image_id'].iloc[0]!r}, stand in no part: they show cells or patients of "
        "images that are validated or tested, which a network must not have seen."
    ]


def describe_unused(splits: pd.DataFrame) -> list[str]:
    """Say how many images of each protocol's training parts `splitting.train_images` leaves unused.

    Parameters
    ----------
    splits
        See ``design``: splits.

    Returns
    -------
    A sentence per protocol that leaves some.

    Examples
    --------
    >>> splits = pd.DataFrame({"image_id": [*"pqrs"], "protocol": "random", "seed": 0, "fold": 0})
    >>> splits["part"] = ["train", "unused", "unused", "test"]
    >>> describe_unused(splits)
    ['Under the random protocol 1 image trains in every split, as splitting.train_images says, and \
2 images of the training part are not used.']
    """
    said = []
    for protocol, dealt in splits.groupby("protocol", sort=False):
        held = dealt.groupby(["seed", "fold"])["part"].value_counts().unstack(fill_value=0)
        if UNUSED not in held:
            continue
        least, most = held[UNUSED].min(), held[UNUSED].max()
        unused = f"{least:,} to {_count(most, 'image')}" if least < most else _count(most, "image")
        train = held["train"].iloc[0]
        said.append(
            f"Under the {protocol} protocol {_count(train, 'image')} "
            f"train{'s' if train == 1 else ''} in every split, as splitting.train_images says, and "
            f"{unused} of the training part are not used."
        )
    return said


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
