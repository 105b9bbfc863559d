from itertools import combinations

import pytest

from wbc_pipeline.sources import leukemia5, lisc, pbc
from wbc_pipeline.sources.labels import label_problems, lookalikes

NAMES = [
    *("basophil", "eosinophil", "neutrophil", "lymphocyte", "monocyte", "promonocyte"),
    *("myeloblast", "monoblast", "myelocyte", "promyelocyte", "metamyelocyte", "lymphoblast"),
    *("erythroblast", "proerythroblast", "band_neutrophil", "typical lymphocyte"),
    *("atypical lymphocyte", "immature granulocyte", "mature granulocyte", "normal", "abnormal"),
    *("grade A", "grade B", "type_01", "type_02", "-1", "1", "CD4+", "CD8+"),
    *("SNE", "LY", "MO", "EO", "BA", "BNE", "MMY", "MY", "PMY", "BL", "PC", "PLY", "VLY"),
    *leukemia5.CLASSES,
    *lisc.CLASSES,
    *pbc.COARSE,
    *(set(pbc.FINE) - {"PLATELET"}),  # as in the coarse labels, never beside them
]


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("Lymphocyte", "lymphocyte"),
        ("lymphocyte ", "lymphocyte"),
        ("lympho-cyte", "lymphocyte"),
        ("Seg Neutrophil", "seg_neutrophil"),
        ("ly", "LY"),
        ("non\u2013blast", "non-blast"),
        ("re\u0301ticulocyte", "r\u00e9ticulocyte"),
    ],
)
def test_another_way_to_write_a_label_is_found_however_frequent(typo, meant):
    assert lookalikes({typo: 9, meant: 10}) == {typo: meant}
    assert lookalikes({typo: 10, meant: 9}) == {meant: typo}
    assert len(lookalikes({typo: 10, meant: 10})) == 1


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("lymphocte", "lymphocyte"),
        ("lypmhocyte", "lymphocyte"),
        ("neutrophils", "neutrophil"),
        ("Eosinphil", "eosinophil"),
        ("band_neutrofil", "band neutrophil"),
    ],
)
def test_another_spelling_is_found_if_it_is_rare(typo, meant):
    assert lookalikes({typo: 1, meant: 20}) == {typo: meant}
    assert lookalikes({typo: 1, meant: 19}) == {}


def test_classes_that_exist_are_never_taken_for_each_other():
    for rare, frequent in combinations(dict.fromkeys(NAMES), 2):
        assert lookalikes({rare: 1, frequent: 1000}) == {}
        assert lookalikes({rare: 1000, frequent: 1}) == {}


def test_a_problem_says_what_is_meant_and_how_to_keep_it():
    labels = ["lymphocyte"] * 20 + ["lymphocte", "", None]
    *right, typo, empty, missing = label_problems(labels, classes=None, option="sources.x.classes")
    assert right == [None] * 20
    for part in ("'lymphocte' (1 rows)", "'lymphocyte' (20 rows)", "`sources.x.classes`"):
        assert part in typo
    assert empty == missing == "label missing"


def test_only_the_given_classes_are_allowed_and_they_are_not_doubted():
    labels = ["lymphocyte"] * 20 + ["lymphocte", "basofil"]
    classes = ["lymphocyte", "lymphocte", "basophil"]
    problems = label_problems(labels, classes=classes, option="sources.x.classes")
    assert problems[:21] == [None] * 21
    assert problems[21].startswith(
        "label not among the classes: 'basofil'. Did you mean 'basophil'?"
    )
