"""Other people's predictions: a table from any framework becomes predictions that are scored."""

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from wbc_pipeline.errors import UserError
from wbc_pipeline.evaluation.scores.leaderboard import LABELS_ONLY
from wbc_pipeline.suggestions import suggestion

UNSTATED = "unstated"
DEFAULT_PROTOCOL = "source"
NAMES = ("image_id", "file_name")  # either may hold an ID or a file name
LABEL = "label"
PROBABILITIES = "probabilities"
TOLERANCE = 0.01  # by which rounded probabilities may miss a sum of 1
RUN = ["protocol", "seed", "fold"]


def name_runs(table: pd.DataFrame, protocols: Sequence[str]) -> pd.DataFrame:
    """Say of each row of a submission which protocol and seed it answers.

    Parameters
    ----------
    table
        As it was read, perhaps with ``protocol`` and ``seed``.
    protocols
        Those that are known.

    Returns
    -------
    DataFrame
        The same with both columns; `DEFAULT_PROTOCOL` and 0 where it has none.

    Raises
    ------
    UserError
        If the table has no row, or naming a protocol that is not known, or what is no seed.
    """
    if table.empty:
        raise UserError("The submission has no row: write one for each image of the test part.")
    protocol = table.get("protocol", DEFAULT_PROTOCOL)
    table = table.assign(protocol=protocol, seed=_whole(table, "seed"))
    for name in table["protocol"].unique():
        if name not in protocols:
            raise UserError(
                f"The submission names a protocol {name!r}, which is none of "
                f"{', '.join(protocols)}.{suggestion(str(name), protocols)} Without the column it "
                f"is scored under {DEFAULT_PROTOCOL}."
            )
    return table


def check_submission(
    table: pd.DataFrame,
    splits: pd.DataFrame,
    images: pd.DataFrame,
    *,
    name: str,
    training_data: str = UNSTATED,
) -> pd.DataFrame:
    """Check a submission against the test parts, and make predictions of it.

    Parameters
    ----------
    table
        Of `name_runs`: one of `NAMES` (an image's ID or its file name, where that is unique), a
        column ``p_<class>`` for each class or one ``label``, and perhaps ``fold``.
    splits
        See ``design``: splits, of every protocol and seed that the table names.
    images
        The manifest's ``ok`` rows.
    name
        Of the submission.
    training_data
        What it says it was trained on.

    Returns
    -------
    DataFrame
        See ``design``: predictions; ``variant`` is the name. Also ``training_data`` and ``answers``
        (``labels`` or ``probabilities``). A label becomes a probability of 1.

    Raises
    ------
    UserError
        Naming the first image, class or column that is missing, doubled, unknown or not in the test
        part, and how many more there are.
    """
    dealt = images["image_id"].isin(splits["image_id"])  # a class left out is no answer
    classes = sorted(images.loc[dealt, "label"].dropna().unique())
    table = table.assign(image_id=_find_images(table, images))
    probabilities, answers = _read_answers(table, classes)
    given = table[["image_id", "protocol", "seed"]]
    given = given.assign(fold=_whole(table, "fold") if "fold" in table else _folds(given, splits))
    _check_parts(given, splits)
    facts = given[["image_id"]].merge(images, on="image_id", how="left", validate="many_to_one")
    identity = {
        "dataset": facts["dataset"],
        "image_id": facts["image_id"],
        "source_id": facts["source_group"],
        "part": "test",
        "variant": name,
        **{key: given[key].to_numpy() for key in RUN},
        "condition": "clean",
        "label": facts["label"],
    }
    return pd.concat([pd.DataFrame(identity), probabilities], axis=1).assign(
        training_data=training_data or UNSTATED, answers=answers
    )


def _whole(table: pd.DataFrame, column: str) -> pd.Series | int:
    """Read a column of whole numbers; 0 if there is none."""
    if column not in table:
        return 0
    numbers = pd.to_numeric(table[column], errors="coerce")
    wrong = numbers.isna() | (numbers % 1 != 0) | (numbers < 0)
    if wrong.any():
        raise UserError(
            f"The submission's column {column} holds {table.loc[wrong, column].iloc[0]!r}, which "
            "is no whole number from 0 on."
        )
    return numbers.astype(int)


def _find_images(table: pd.DataFrame, images: pd.DataFrame) -> pd.Series:
    """Find the ID behind each row's ID or file name."""
    column = next((name for name in NAMES if name in table), None)
    if column is None:
        raise UserError(
            f"The submission has no column {' or '.join(NAMES)}; its columns are "
            f"{', '.join(map(str, table))}. Say in one of them which image each row is of."
        )
    asked = table[column].astype(str).str.replace("\\", "/", regex=False)
    ids = pd.Series(images["image_id"].to_numpy(), index=images["image_id"])
    files = images["image_id"].map(lambda each: PurePosixPath(each).name)
    doubled = set(files[files.duplicated(keep=False)])
    by_file = pd.Series(images["image_id"].to_numpy(), index=files)
    by_file = by_file[~by_file.index.isin(doubled)]
    found = asked.map(ids).fillna(asked.map(by_file))
    lacking = asked[found.isna()]
    if len(lacking):
        first = lacking.iloc[0]
        if first in doubled:
            several = images.loc[files == first, "image_id"]
            raise UserError(
                f"{first!r} of the submission is the file name of {len(several)} images, such as "
                f"{several.iloc[0]!r} and {several.iloc[1]!r}: write image IDs."
            )
        raise UserError(
            f"{_count(lacking, 'image')} of the submission, such as {first!r}, "
            f"{'is' if len(lacking) == 1 else 'are'} not in this data set."
            f"{suggestion(first, files.unique())} IDs are paths below the data set's folder, as in "
            "manifest.parquet."
        )
    return found


def _read_answers(table: pd.DataFrame, classes: list[str]) -> tuple[pd.DataFrame, str]:
    """Read probabilities, or labels as probabilities of 1, in the order of the classes."""
    columns = [f"p_{name}" for name in classes]
    given = [name for name in map(str, table) if name.startswith("p_")]
    if bool(given) == (LABEL in table):
        raise UserError(
            f"The submission has {'both' if given else 'neither'} p_<class> columns and a column "
            f"{LABEL}: give either a probability for each of {', '.join(columns)}, or in {LABEL} "
            "the class that is answered."
        )
    if not given:
        labels = table[LABEL].astype(str)
        _refuse_unknown(labels[~labels.isin(classes)], "class", classes)
        hard = {f"p_{name}": (labels == name).astype(float).to_numpy() for name in classes}
        return pd.DataFrame(hard), LABELS_ONLY
    _refuse_unknown(pd.Series([name for name in given if name not in columns]), "column", columns)
    if lacking := [name for name in columns if name not in given]:
        raise UserError(
            f"The submission has no column {', '.join(lacking)}: it needs a probability for each "
            "class of the data set, 0 where a model does not know the class."
        )
    values = table[columns].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    total = values.sum(axis=1)
    wrong = ~((values >= 0).all(axis=1) & (np.abs(total - 1) <= TOLERANCE))
    if wrong.any():
        raise UserError(
            f"The probabilities of {_count(wrong[wrong], 'row')} of the submission, such as that "
            f"of {table['image_id'].iloc[int(wrong.argmax())]!r}, are missing, negative or do not "
            "sum to 1. Write probabilities, such as a softmax, and no logits."
        )
    return pd.DataFrame(values / total[:, None], columns=columns), PROBABILITIES


def _refuse_unknown(unknown: pd.Series, what: str, known: list[str]) -> None:
    if len(unknown):
        first = unknown.iloc[0]
        raise UserError(
            f"The submission names a {what} {first!r} that this data set does not have."
            f"{suggestion(first, known)} Known are {', '.join(known)}."
        )


def _folds(given: pd.DataFrame, splits: pd.DataFrame) -> np.ndarray:
    """Find the fold that tests each image; 0 for an image that none tests."""
    tested = splits[splits["part"] == "test"].drop_duplicates(["protocol", "seed", "image_id"])
    found = given.merge(tested[["image_id", *RUN]], on=["image_id", "protocol", "seed"], how="left")
    return found["fold"].fillna(0).astype(int).to_numpy()


def _check_parts(given: pd.DataFrame, splits: pd.DataFrame) -> None:
    """Check that each run answers its whole test part, each image once, and no other image."""
    keys = ["image_id", *RUN]
    twice = given[given.duplicated(keys)]
    if len(twice):
        raise UserError(
            f"{_count(twice, 'row')} of the submission repeat an image, such as "
            f"{twice['image_id'].iloc[0]!r} under {_run(twice.iloc[0])}: answer each once."
        )
    parts = given.merge(splits, on=keys, how="left")
    other = parts[parts["part"] != "test"]
    if len(other):
        first = other.iloc[0]
        part = "no part" if pd.isna(first["part"]) else f"the {first['part']} part"
        raise UserError(
            f"{_count(other, 'image')} of the submission, such as {first['image_id']!r}, "
            f"{'is' if len(other) == 1 else 'are'} not in the test part of {_run(first)} but in "
            f"{part}: leave such rows out, or name another protocol, seed or fold."
        )
    asked = given[["protocol", "seed"]].drop_duplicates()
    tested = splits[splits["part"] == "test"].merge(asked, on=["protocol", "seed"])
    missing = tested.merge(given, on=keys, how="left", indicator=True)
    missing = missing[missing["_merge"] == "left_only"]
    if len(missing):
        first = missing.iloc[0]
        raise UserError(
            f"{_count(missing, 'image')} of the test part {'is' if len(missing) == 1 else 'are'} "
            f"missing in the submission, such as {first['image_id']!r} of {_run(first)}: a score "
            f"needs an answer to each of the {len(tested):,}."
        )


def _run(row: pd.Series) -> str:
    fold = f", fold {row['fold']}" if row["fold"] else ""
    return f"{row['protocol']}, seed {row['seed']}{fold}"


def _count(rows: Sequence, what: str) -> str:
    return f"{len(rows):,} {what}{'' if len(rows) == 1 else 's'}"
