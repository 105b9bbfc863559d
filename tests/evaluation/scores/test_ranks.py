import numpy as np
import pandas as pd
import pytest
from scipy.stats import friedmanchisquare
from sklearn.metrics import f1_score

from wbc_pipeline.evaluation.scores.ranks import compare_ranks, rank_table, scores_by_block

CLASSES = ["a", "b", "c"]


def make_answers(variants, seeds):
    rows = []
    for seed in range(seeds):
        for number, variant in enumerate(variants):
            random = np.random.default_rng([seed, number])
            label = random.choice(CLASSES, 40)
            answer = np.where(random.random(40) < 0.9 - 0.2 * number, label, "a")
            probability = {f"p_{name}": (answer == name) * 1.0 for name in CLASSES}
            table = pd.DataFrame({"label": label, "answer": answer, **probability})
            rows.append(table.assign(variant=variant, seed=seed, image_id=range(40)))
    known = {"part": "test", "condition": "clean", "protocol": "source", "fold": 0}
    return pd.concat(rows, ignore_index=True).assign(source_id=None, **known)


def test_a_block_is_a_seed_and_fold_that_all_models_have_answered():
    answers = make_answers("xyz", seeds=4)
    lacking = answers[(answers["variant"] != "z") | (answers["seed"] != 2)]
    scores = scores_by_block(lacking)
    assert [seed for seed, _ in scores.index] == [0, 1, 3]
    one = answers[(answers["variant"] == "y") & (answers["seed"] == 3)]
    expected = f1_score(one["label"], one["answer"], average="macro")
    assert scores.loc[(3, 0), "y"] == pytest.approx(expected)


def test_a_model_of_one_seed_takes_no_block_from_the_others():
    answers = make_answers("wxyz", seeds=4)
    one = answers[(answers["variant"] != "w") | (answers["seed"] == 0)]
    scores = scores_by_block(one)
    assert list(scores) == ["x", "y", "z"] and len(scores) == 4


def test_ranks_are_friedman_s_and_differences_nemenyi_s():
    scores = scores_by_block(make_answers("xyz", seeds=6))
    found = compare_ranks(scores)
    assert found.ranks.index[0] == "x" and found.blocks == 6
    assert found.p_value == pytest.approx(friedmanchisquare(*scores.to_numpy().T).pvalue)
    assert found.differences.loc["x", "z"] < 0.05 < found.differences.loc["x", "x"]
    table = rank_table({("random", "a + b + c"): found})
    assert set(table["leak"]) == {"LEAKS"} and table["mean_rank"].is_monotonic_increasing


@pytest.mark.parametrize(("models", "seeds"), [("xy", 5), ("xyz", 2)])
def test_too_few_models_or_blocks_give_no_test(models, seeds):
    assert compare_ranks(scores_by_block(make_answers(models, seeds))) is None


def test_models_that_score_alike_give_no_test():
    assert compare_ranks(pd.DataFrame(0.5, index=range(4), columns=list("xyz"))) is None
