"""Which images of a command are dealt to parts, and which stand outside and only teach."""

from __future__ import annotations

import lazy_loader as lazy

from wbc_pipeline.errors import UserError
from wbc_pipeline.pipelines.splitting.options import TESTED_PARTS, SplittingOptions
from wbc_pipeline.training.options import OUTSIDE

pd = lazy.load("pandas")


def choose_dealt(images: pd.DataFrame, options: SplittingOptions) -> pd.DataFrame:
    """Keep the images that training, validation and test parts are dealt from.

    Parameters
    ----------
    images
        See ``design``: manifest.
    options
        Of which data sets they are, and within which published part.

    Returns
    -------
    DataFrame
        Those of the data sets, within the published part.

    Raises
    ------
    UserError
        If none is left.
    """
    dealt = images[images["dataset"].isin(options.datasets)] if options.datasets else images
    if options.within == "all":
        return dealt
    dealt = dealt[dealt["published_part"] == "train"]
    if dealt.empty:
        raise UserError(
            f"splitting.within={options.within} keeps the published training part, and these "
            "images have none (column published_part of the manifest). Set splitting.within=all."
        )
    return dealt


def choose_outside(images: pd.DataFrame, options: SplittingOptions) -> pd.DataFrame:
    """Keep the images of data sets that are not dealt; none where all are.

    Images of cells that a search must not touch are left out: those that `choose_dealt` left out.
    """
    if not options.datasets:
        return images[:0]
    is_outside = ~images["dataset"].isin(options.datasets)
    untouched = images[~is_outside].drop(choose_dealt(images, options).index)["source_group"]
    return images[is_outside & ~images["source_group"].isin(untouched.dropna())]


def add_outside(splits: pd.DataFrame, dealt: pd.DataFrame, outside: pd.DataFrame) -> pd.DataFrame:
    """Add the images outside to every fold, but for those of cells that it validates or tests.

    Parameters
    ----------
    splits
        See ``design``: splits, of the images that are dealt.
    dealt, outside
        See `choose_dealt`, `choose_outside`.

    Returns
    -------
    DataFrame
        With rows of the part ``outside``. A cell that stands in two data sets is one
        ``source_group``, so that none is learnt from outside and tested inside.
    """
    groups = dealt.set_index("image_id")["source_group"]
    tables = [splits]
    for run, fold in splits.groupby(["protocol", "seed", "fold"], sort=False):
        kept_apart = fold.loc[fold["part"].isin(TESTED_PARTS), "image_id"].map(groups)
        learnt = outside[~outside["source_group"].isin(kept_apart.dropna())]
        place = dict(zip(("protocol", "seed", "fold"), run, strict=True))
        tables.append(learnt[["dataset", "image_id"]].assign(**place, part=OUTSIDE))
    return pd.concat(tables, ignore_index=True)


def dealt_sets(dataset: str, splits: pd.DataFrame) -> str:
    """Name the data sets that are trained, validated and tested on, with ``+`` between.

    Examples
    --------
    >>> splits = pd.DataFrame({"dataset": ["lisc", "pbc"], "part": ["test", "outside"]})
    >>> dealt_sets("lisc+pbc", splits)
    'lisc'
    """
    outside = set(splits.loc[splits["part"] == OUTSIDE, "dataset"])
    return "+".join(name for name in dataset.split("+") if name not in outside)


def describe_outside(splits: pd.DataFrame) -> list[str]:
    """Say of which data sets images stand outside, and how many.

    Parameters
    ----------
    splits
        See ``design``: splits.

    Returns
    -------
    One sentence, or none.

    Examples
    --------
    >>> splits = pd.DataFrame({"dataset": ["lisc", "pbc"], "part": ["test", "outside"]})
    >>> describe_outside(splits.assign(image_id=["a.bmp", "b.jpg"]))
    ['Images of pbc (1) stand outside: they are never validated or tested on, and only networks \
with learn_from in a stage learn from them.']
    """
    outside = splits[splits["part"] == OUTSIDE].drop_duplicates(["dataset", "image_id"])
    if outside.empty:
        return []
    counts = outside["dataset"].value_counts(sort=False)
    names = " and ".join(f"{name} ({count:,})" for name, count in counts.items())
    return [
        f"Images of {names} stand outside: they are never validated or tested on, and only "
        "networks with learn_from in a stage learn from them."
    ]
