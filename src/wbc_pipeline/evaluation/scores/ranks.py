"""Do models rank alike over seeds, folds or data sets? Friedman's test, and Nemenyi's after it."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import friedmanchisquare

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.confusion import macro_f1
from wbc_pipeline.evaluation.scores.metrics import each_run
from wbc_pipeline.evaluation.scores.protocols import leak_of

FEWEST_MODELS = 3  # Friedman's test compares three or more
FEWEST_BLOCKS = 3
BLOCK = ["seed", "fold"]


class RankTest(NamedTuple):
    """How models rank over blocks, and which of them differ."""

    ranks: pd.Series  # mean rank of each model, 1 is best
    p_value: float  # Friedman's
    differences: pd.DataFrame  # Nemenyi's p values [models, models]
    blocks: int


def scores_by_block(answers: pd.DataFrame) -> pd.DataFrame:
    """Score each model in each seed and fold by macro F1.

    Parameters
    ----------
    answers
        Test rows of clean images under one protocol.

    Returns
    -------
    DataFrame
        A row per seed and fold that all models have answered, a column per model. Models of fewer
        than `FEWEST_BLOCKS` seeds and folds are left out: they would leave none to the others.
    """
    rows = []
    for keys, _, outcomes in each_run(answers, ["variant", *BLOCK]):
        classes = len(outcomes.classes)
        cells = outcomes.truth * classes + outcomes.predicted
        matrix = np.bincount(cells, minlength=classes**2).reshape(classes, classes)
        rows.append(keys | {"score": float(macro_f1(matrix.astype(float)))})
    table = pd.DataFrame(rows).pivot(index=BLOCK, columns="variant", values="score")
    return keep_complete(table[list(dict.fromkeys(answers["variant"]))])


def keep_complete(scores: pd.DataFrame) -> pd.DataFrame:
    """Keep models of `FEWEST_BLOCKS` blocks or more, and of the blocks those that all of them have.

    Parameters
    ----------
    scores
        A row per block and a column per model; NaN where a model lacks a block.
    """
    return scores.dropna(axis="columns", thresh=FEWEST_BLOCKS).dropna()


def compare_ranks(scores: pd.DataFrame) -> RankTest | None:
    """Test whether the mean ranks of models differ over blocks.

    Parameters
    ----------
    scores
        A row per block, such as a seed, a fold or a data set, and a column per model; more is
        better.

    Returns
    -------
    RankTest
        None of fewer than `FEWEST_MODELS` models or `FEWEST_BLOCKS` blocks, or where all models
        score alike.

    References
    ----------
    J. Demšar, "Statistical comparisons of classifiers over multiple data sets", Journal of Machine
    Learning Research 7, 2006.

    Examples
    --------
    >>> scores = pd.DataFrame({"a": [0.9, 0.8, 0.9], "b": [0.7, 0.6, 0.8], "c": [0.5, 0.5, 0.4]})
    >>> found = compare_ranks(scores)
    >>> found.ranks.to_dict(), round(found.p_value, 3)
    ({'a': 1.0, 'b': 2.0, 'c': 3.0}, 0.05)
    """
    blocks, models = scores.shape
    if models < FEWEST_MODELS or blocks < FEWEST_BLOCKS:
        return None
    if (scores.nunique(axis=1) == 1).all():
        return None
    p_value = friedmanchisquare(*scores.to_numpy().T).pvalue
    from scikit_posthocs import posthoc_nemenyi_friedman

    ranks = scores.rank(axis=1, ascending=False).mean()
    differences = posthoc_nemenyi_friedman(scores.to_numpy())
    differences = differences.set_axis(scores.columns, axis=0).set_axis(scores.columns, axis=1)
    return RankTest(ranks.sort_values(), float(p_value), differences, blocks)


@described(
    heading="Ranks over seeds and folds",
    caption="Mean rank of the leading models by macro F1, 1 is best, over the seeds and folds that "
    "all of them have answered; models of fewer than three are left out. Friedman's test asks "
    "whether any differ. Seeds and folds of one data set share images, so that the p value is a "
    "description, and no proof.",
)
def rank_table(tests: Mapping[tuple[str, str], RankTest]) -> pd.DataFrame:
    """List the mean ranks of models by protocol; tests are by protocol and names of classes."""
    return pd.DataFrame(
        [
            {
                "protocol": protocol,
                "leak": leak_of(protocol),
                "model": model,
                "mean_rank": rank,
                "blocks": test.blocks,
                "p_friedman": test.p_value,
            }
            for (protocol, _), test in tests.items()
            for model, rank in test.ranks.items()
        ],
        columns=["protocol", "leak", "model", "mean_rank", "blocks", "p_friedman"],
    )
