import pandas as pd

from wbc_pipeline.evaluation.audit.label_rules import judge_suspects
from wbc_pipeline.evaluation.audit.suspects import COUNTED

NOBODY = pd.DataFrame(columns=["label", "cells", "needed"])


def make_counts(**columns):
    counts = {"label": ["basophil", "monocyte"], "cells": [100, 100], "suspects": [1, 5]}
    counts |= {"agreed": [98, 96], "suggested": ["", "basophil 5"], **columns}
    return pd.DataFrame(counts)


def test_many_suspects_of_classifiers_that_know_the_classes_are_serious():
    (found,) = judge_suspects(make_counts(), NOBODY)
    assert found.severity == "serious"
    assert "6 labels of 200 cells (3.0%) are suspect" in found.finding
    assert "agree with 97% of the labels" in found.finding


def test_classifiers_that_hardly_know_the_classes_only_ask():
    (found,) = judge_suspects(make_counts(agreed=[70, 60]), NOBODY)
    assert found.severity == "caution"
    assert "too few cells, or classes too alike" in found.finding


def test_a_set_that_is_too_small_is_said_to_be():
    unjudged = pd.DataFrame({"label": ["basophil", "monocyte"], "cells": [3, 4], "needed": 10})
    (found,) = judge_suspects(pd.DataFrame(columns=COUNTED), unjudged)
    assert "too small" in found.finding
    assert "basophil (3), monocyte (4)" in found.finding


def test_a_class_that_was_not_judged_is_named():
    unjudged = pd.DataFrame({"label": ["eosinophil"], "cells": [4], "needed": [10]})
    _, left_out = judge_suspects(make_counts(), unjudged)
    assert "fewer than 10 cells were not judged: eosinophil (4)" in left_out.finding
