import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.evaluation.scores.verdicts import (
    beside_published,
    count_verdicts,
    headline_rows,
    judge_papers,
)

PAPERS = {"separable": {"protocol": "random", "datasets": ["blood_cells"]}}
NOTHING = (np.nan, np.nan, np.nan)


def make_table(published="0.9906", reproduced=NOTHING, leak_free=NOTHING, **changes):
    """A row of ``published.csv``; numbers with both ends of their intervals."""
    row = {"variant": "mixed", "metric": "accuracy", "published": published}
    for name, values in (("reproduced", reproduced), ("leak_free", leak_free)):
        row |= dict(zip([name, f"{name}_low", f"{name}_high"], values, strict=True))
        row |= {f"{name}_sd": np.nan}
    row |= {"difference": np.nan, "seeds": 3, "interval_unit": "source"}
    return pd.DataFrame([row | {"leak_free_protocol": "source"} | changes])


def judge(table, *, dataset="blood_cells", **changes):
    papers = {"separable": PAPERS["separable"] | changes}
    beside = beside_published({"separable": table}, papers)
    (verdict,) = judge_papers(beside, papers, dataset).to_dict("records")
    return verdict["verdict"], verdict["finding"]


def test_a_number_that_the_leak_alone_gives_does_not_survive():
    table = make_table(reproduced=(0.9894, 0.981, 0.995), leak_free=(0.807, 0.749, 0.869))
    assert judge(table) == (
        "does not survive",
        "99.06 % accuracy of mixed does not survive: 80.7 [74.9, 86.9] % once no cell is on two "
        "sides (source), after 98.9 [98.1, 99.5] % under random (LEAKS).",
    )


@pytest.mark.parametrize("under", ["domain", "dataset"])
def test_what_another_laboratory_costs_is_not_blamed_on_the_leak(under):
    ours = {"reproduced": (0.99, 0.98, 0.995), "leak_free_protocol": under}
    verdict, finding = judge(make_table(leak_free=(0.6, 0.5, 0.7), **ours))
    assert verdict == "undecided" and "only source tells what the leak alone" in finding
    assert judge(make_table(leak_free=(0.98, 0.96, 0.992), **ours))[0] == "survives"


def test_a_published_split_is_marked_as_not_checked():
    table = make_table(reproduced=(0.99, 0.98, 0.995), leak_free=(0.8, 0.7, 0.9))
    verdict, finding = judge(table, protocol="published")
    assert verdict == "does not survive" and "under published (not checked)" in finding


def test_a_number_that_the_leak_free_interval_reaches_survives():
    table = make_table(reproduced=(0.99, 0.98, 0.995), leak_free=(0.985, 0.97, 0.992))
    verdict, finding = judge(table)
    assert verdict == "survives" and "98.5 [97.0, 99.2] % with no cell on two sides" in finding


def test_an_interval_that_holds_far_worse_scores_too_confirms_no_number():
    table = make_table(reproduced=(0.99, 0.98, 0.995), leak_free=(0.7, 0.4, 1.0))
    assert judge(table) == (
        "undecided",
        "99.06 % accuracy of mixed is not refuted, and not confirmed: 70.0 [40.0, 100.0] % with no "
        "cell on two sides (source) is an interval of 60.0 points, too wide to tell.",
    )
    above = make_table("0.60", leak_free=(0.8, 0.65, 0.95))
    assert judge(above)[0] == "survives"


def test_a_leak_is_blamed_for_no_number_that_a_wide_interval_alone_reaches():
    table = make_table(reproduced=(0.8, 0.6, 1.0), leak_free=(0.7, 0.5, 0.9))
    verdict, finding = judge(table)
    assert verdict == "undecided"
    assert "80.0 [60.0, 100.0] % under random (LEAKS) is an interval of 40.0 points" in finding


def test_what_the_paper_s_own_protocol_does_not_reach_is_not_blamed_on_the_leak():
    table = make_table(reproduced=(0.9, 0.88, 0.92), leak_free=(0.807, 0.749, 0.869))
    verdict, finding = judge(table)
    assert verdict == "not reached"
    assert "is not reached under the paper's own protocol either: 90.0 [88.0, 92.0] %" in finding


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            make_table(leak_free=(0.8, 0.7, 0.9)),
            ("not reached", "the paper's own protocol, random (LEAKS), was not run."),
        ),
        (
            make_table(reproduced=(0.99, 0.98, 1.0)),
            ("not tested", "99.0 [98.0, 100.0] % under random (LEAKS), and no leak-free protocol"),
        ),
        (make_table(leak_free=(0.8, np.nan, np.nan)), ("undecided", "without an interval")),
        (make_table("", leak_free=(0.8, 0.7, 0.9)), ("not tested", "None of the variants")),
    ],
)
def test_what_cannot_be_judged_says_why(table, expected):
    verdict, finding = judge(table)
    assert verdict == expected[0] and expected[1] in finding


def test_a_paper_under_a_leak_free_protocol_is_held_against_one_number():
    table = make_table(reproduced=(0.8, 0.7, 0.9), leak_free=(0.8, 0.7, 0.9))
    verdict, finding = judge(table, protocol="source")
    assert verdict == "not reached"
    assert finding.endswith("80.0 [70.0, 90.0] % under source, the paper's own protocol.")


def test_other_images_neither_confirm_nor_refute():
    table = make_table(reproduced=(0.99, 0.98, 1.0), leak_free=(0.3, 0.2, 0.4))
    verdict, finding = judge(table, dataset="demo")
    assert verdict == "other images"
    assert "is of blood_cells, and images of demo neither confirm nor refute it" in finding
    assert "30.0 [20.0, 40.0] % under source" in finding


def test_the_lowest_of_several_printed_numbers_decides():
    table = make_table("0.9880 / 0.9907", leak_free=(0.98, 0.97, 0.989))
    verdict, finding = judge(table)
    assert verdict == "survives" and finding.startswith("98.80 / 99.07 % accuracy")


def test_the_best_printed_number_of_the_first_metric_is_the_headline():
    tables = [
        make_table("0.90", leak_free=(0.8, 0.7, 0.85), variant="first"),
        make_table("0.95", leak_free=(0.8, 0.7, 0.85), variant="best"),
        make_table("0.99", leak_free=(0.8, 0.7, 0.85), variant="first", metric="macro_f1"),
        make_table("0.99", variant="not run"),
    ]
    _, finding = judge(pd.concat(tables, ignore_index=True))
    assert finding.startswith("95 % accuracy of best is not reached")


def test_beside_published_names_the_protocol_behind_each_number_and_the_data_set_of_a_claim():
    table = make_table(reproduced=(0.99, 0.98, 1.0), leak_free=(0.3, 0.2, 0.4))
    (row,) = beside_published({"separable": table}, PAPERS).to_dict("records")
    assert row["reproduced_under"] == "random (LEAKS)"
    assert (row["leak_free_under"], row["published_on"]) == ("source", "blood_cells")


def rows_of(tables, **papers):
    facts = {name: PAPERS["separable"] for name in tables} | papers
    beside = beside_published(tables, facts)
    return headline_rows(beside, judge_papers(beside, facts, "blood_cells"))


def test_the_headline_of_a_paper_has_the_judged_number_first_then_others_of_its_metric():
    ours = {"leak_free": (0.8, 0.7, 0.9)}
    table = pd.concat(
        [
            make_table(variant="plain", published="0.97", **ours),
            make_table(**ours),
            make_table(variant="ours", published="", **ours),
            make_table(metric="macro_f1", **ours),
        ],
        ignore_index=True,
    )
    assert rows_of({"separable": table})["variant"].tolist() == ["mixed", "plain"]


def test_the_headline_of_several_papers_has_the_number_that_each_is_judged_by():
    table = make_table(leak_free=(0.8, 0.7, 0.9))
    two = pd.concat([table, table.assign(variant="plain", published="0.97")], ignore_index=True)
    rows = rows_of({"separable": two, "blend": table})
    assert rows[["paper", "variant"]].to_numpy().tolist() == [
        ["separable", "mixed"],
        ["blend", "mixed"],
    ]


def test_the_headline_of_a_paper_that_prints_nothing_is_its_accuracy():
    table = make_table(published="", leak_free=(0.8, 0.7, 0.9))
    assert rows_of({"separable": table})["metric"].tolist() == ["accuracy"]


def test_verdicts_are_counted_in_a_sentence():
    assert count_verdicts(pd.DataFrame({"paper": [], "verdict": []})) == "No paper was judged."
