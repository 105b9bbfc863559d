import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.errors import UserError
from wbc_pipeline.evaluation.scores.metrics import read_outcomes
from wbc_pipeline.evaluation.scores.submitted import check_submission, name_runs

PROTOCOLS = ("random", "source", "domain")
IMAGES = pd.DataFrame(
    {
        "dataset": "smears",
        "image_id": ["a/1.png", "a/2.png", "b/1.png", "b/3.png", "b/4.png", "b/5.png"],
        "label": ["blast", "blast", "healthy", "healthy", "healthy", "lost"],
        "source_group": ["c1", "c2", "c3", "c4", "c4", "c5"],
        "status": "ok",
    }
)
TESTED = ["a/2.png", "b/1.png", "b/3.png"]


def deal(protocol="source", seed=0, tested=(TESTED,)):
    tables = []
    for fold, ids in enumerate(tested):
        part = np.where(IMAGES["image_id"].isin(ids), "test", "train")
        tables.append(IMAGES[["dataset", "image_id"]].assign(part=part, fold=fold))
    splits = pd.concat(tables).assign(protocol=protocol, seed=seed)
    return splits[splits["image_id"] != "b/5.png"]  # a class that is left out


def make(ids=TESTED, blast=0.7, **columns):
    return pd.DataFrame({"image_id": ids, "p_blast": blast, "p_healthy": 1 - blast} | columns)


def check(table, splits=None, **options):
    table = name_runs(table, PROTOCOLS)
    splits = deal() if splits is None else splits
    return check_submission(table, splits, IMAGES, name="theirs", **options)


def refuse(table, message, splits=None):
    with pytest.raises(UserError, match=message):
        check(table, splits)


def test_a_table_of_probabilities_becomes_predictions_of_the_test_part():
    found = check(make())
    assert found["image_id"].tolist() == TESTED
    assert found["label"].tolist() == ["blast", "healthy", "healthy"]
    assert found["source_id"].tolist() == ["c2", "c3", "c4"]
    assert set(found["protocol"]) == {"source"} and set(found["training_data"]) == {"unstated"}
    assert read_outcomes(found).classes == ["blast", "healthy"]


def test_a_table_without_a_row_is_refused():
    refuse(make().head(0), "has no row")


def test_labels_become_probabilities_of_one():
    table = pd.DataFrame({"image_id": TESTED, "label": ["blast", "blast", "healthy"]})
    found = check(table, training_data="all of the others")
    assert found["p_blast"].tolist() == [1, 1, 0] and set(found["answers"]) == {"labels"}
    assert set(found["training_data"]) == {"all of the others"}


def test_a_file_name_is_enough_where_it_is_unique():
    table = make(["2.png", "b/1.png", "3.png"])
    assert check(table)["image_id"].tolist() == TESTED
    assert check(table.rename(columns={"image_id": "file_name"}))["image_id"].tolist() == TESTED
    refuse(make(["2.png", "1.png", "3.png"]), "'1.png' .* file name of 2 images, .*'a/1.png' and")


def test_rounded_probabilities_are_brought_to_a_sum_of_one():
    found = check(make(p_healthy=0.305))
    assert np.allclose(found[["p_blast", "p_healthy"]].sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (make(TESTED[:2]), r"1 image of the test part is missing .*'b/3.png' of source, seed 0"),
        (make([*TESTED, "b/1.png"]), r"1 row of the submission repeat.*'b/1.png'"),
        (make([*TESTED, "b/9.png"]), r"1 image of the submission, such as 'b/9.png', is not in t"),
        (make([*TESTED, "b/4.png"]), r"'b/4.png', is not in the test part .*in the train part"),
        (make([*TESTED, "b/5.png"]), r"'b/5.png', is not in the test part .*in no part"),
        (make(p_lymphocyte=0), "a column 'p_lymphocyte' that this data set does not have"),
        (make().drop(columns="p_blast"), "has no column p_blast: it needs a probability for each"),
        (make(p_healthy=2.0), "of 3 rows of the submission, such as that of 'a/2.png', are miss"),
        (make(label="blast"), "has both p_<class> columns and a column label"),
        (pd.DataFrame({"image_id": TESTED}), "has neither p_<class> columns nor|has neither"),
        (pd.DataFrame({"image_id": TESTED, "label": "blasst"}), "class 'blasst'.*mean 'blast'"),
        (make().rename(columns={"image_id": "name"}), "has no column image_id or file_name"),
        (make(protocol="sorce"), "protocol 'sorce', which is none of.*Did you mean 'source'"),
        (make(seed="one"), "column seed holds 'one', which is no whole number"),
    ],
)
def test_what_is_wrong_is_refused_by_name(table, message):
    refuse(table, message)


def test_the_fold_that_tests_an_image_is_found_and_a_wrong_one_refused():
    splits = deal("domain", seed=1, tested=(["a/1.png", "a/2.png"], ["b/1.png", "b/3.png"]))
    ids = ["a/1.png", "a/2.png", "b/1.png", "b/3.png"]
    table = make(ids, protocol="domain", seed=1)
    assert check(table, splits)["fold"].tolist() == [0, 0, 1, 1]
    refuse(table.assign(fold=0), "'b/1.png'.*not in the test part of domain, seed 1 but", splits)
    refuse(table.iloc[:2], "2 images of the test part are missing .*domain, seed 1, fold 1", splits)
