"""Parameters tuned on one half of the images and tested on the other.

A candidate is a chain of steps with one set of values. Every candidate is scored on every image
once; what is tuned on which images, and tested on which others, is then a matter of tables.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from wbc_pipeline.imaging.steps import parse_step

UNTUNED = "untuned"  # in the column ``tuned_on``: the steps as they were written


class Candidate(NamedTuple):
    """Steps with one set of values.

    Attributes
    ----------
    steps
        For `wbc_pipeline.imaging.chain.build_chain`.
    changes
        What differs from the steps as written, ``step.parameter`` to value.
    """

    steps: list[dict]
    changes: dict[str, Any]

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.changes.items())


def list_candidates(steps: Sequence[Mapping], grid: Mapping[str, Sequence]) -> list[Candidate]:
    """Expand a grid of values into candidates.

    Parameters
    ----------
    steps
        As written.
    grid
        ``step.parameter`` to the values that it may take; empty if nothing is to be tuned.

    Returns
    -------
    list of Candidate
        The steps as written first, then one for each combination.

    Raises
    ------
    ValueError
        If a name of the grid is not that of one step and a parameter.

    Examples
    --------
    >>> grid = {"gaussian_filter.sigma": [1, 2], "otsu_mask.channel": ["green", "stain"]}
    >>> candidates = list_candidates([{"gaussian_filter": {}}, {"otsu_mask": {}}], grid)
    >>> len(candidates), str(candidates[1])
    (5, 'gaussian_filter.sigma 1, otsu_mask.channel green')
    >>> candidates[1].steps
    [{'gaussian_filter': {'sigma': 1}}, {'otsu_mask': {'channel': 'green'}}]
    """
    from sklearn.model_selection import ParameterGrid

    changes = [{}, *(ParameterGrid(dict(grid)) if grid else [])]
    return [Candidate(change_steps(steps, change), change) for change in changes]


def change_steps(steps: Sequence[Mapping], changes: Mapping[str, Any]) -> list[dict]:
    """Give steps with other values of some parameters; see `list_candidates`."""
    parsed = [parse_step(step) for step in steps]
    for name, value in changes.items():
        step, _, parameter = name.partition(".")
        found = [parameters for known, parameters in parsed if known == step]
        if len(found) != 1 or not parameter:
            raise ValueError(
                f"{name!r} in a grid is not step.parameter of one of the steps "
                f"{', '.join(known for known, _ in parsed) or '(none)'}"
            )
        found[0][parameter] = value
    return [dict([step]) for step in parsed]


def deal_halves(images: pd.DataFrame) -> pd.Series:
    """Split the images of each domain in half, by source group.

    Parameters
    ----------
    images
        ``image_id``, ``source_group`` (missing: the image is a group of its own) and ``domain``,
        in order.

    Returns
    -------
    pd.Series
        ``tuning`` or ``test``, with the index of `images`: the groups of a domain in turn, in the
        order of their first images. A domain with a single group has no test images.

    Examples
    --------
    >>> images = pd.DataFrame({"image_id": list("abcde"), "source_group": [1, 2, 1, 3, None]})
    >>> deal_halves(images.assign(domain="x")).tolist()
    ['tuning', 'test', 'tuning', 'tuning', 'test']
    """
    groups = images["source_group"].astype(object)
    groups = groups.where(groups.notna(), "image " + images["image_id"].astype(str))
    first = ~groups.duplicated()
    turn = images[first].groupby("domain", dropna=False).cumcount() % 2
    is_test = dict(zip(groups[first], turn == 1, strict=True))
    return groups.map(is_test).map({True: "test", False: "tuning"})


def tune_and_test(
    scores: pd.DataFrame, images: pd.DataFrame, *, by: Sequence[str], score: str
) -> pd.DataFrame:
    """Tune on the tuning half of each domain, test on the test half of every domain.

    Parameters
    ----------
    scores
        A row per image and candidate: ``image_id``, ``candidate`` (its place in
        `list_candidates`), the columns of `by`, and `score`, of which more is better.
    images
        ``image_id``, ``source_group`` and ``domain``, of which the last must not be missing.
    by
        What is tuned for itself, such as each method.
    score
        Name of the column; its mean over images decides, and of equals the first candidate.

    Returns
    -------
    pd.DataFrame
        A row per test image and set of parameters: `by`, ``tuned_on`` (a domain, or `UNTUNED` for
        the first candidate), ``tested_on``, and the columns of `scores` and `images`. What has no
        second candidate is not tuned.
    """
    if scores.empty:
        return pd.DataFrame(columns=[*scores, "source_group", "tuned_on", "tested_on"])
    known = scores.merge(images.assign(half=deal_halves(images)), on="image_id")
    by = list(by)
    untuned = known[by].drop_duplicates().assign(tuned_on=UNTUNED, candidate=0)
    tunable = known.groupby(by)["candidate"].transform("max") > 0
    tuning = known[tunable & (known["half"] == "tuning")]
    means = tuning.groupby([*by, "domain", "candidate"], as_index=False, sort=False)[score].mean()
    best = means.groupby([*by, "domain"], sort=False)[score].idxmax()
    chosen = means.loc[best].rename(columns={"domain": "tuned_on"}).drop(columns=score)
    test = known[known["half"] == "test"].rename(columns={"domain": "tested_on"})
    rows = pd.concat([untuned, chosen], ignore_index=True)
    return rows.merge(test.drop(columns="half"), on=[*by, "candidate"])


def own_parameters(tests: pd.DataFrame) -> pd.DataFrame:
    """Keep the tests within a domain: tuned on its other half, or of what cannot be tuned."""
    tuned = tests["tuned_on"] == tests["tested_on"]
    return tests[tuned | ~tests["method"].isin(tests.loc[tuned, "method"])]
