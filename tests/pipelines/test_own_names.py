"""Classes of a schedule by their codes."""

import logging

import pytest

from wbc_pipeline.errors import UserError
from wbc_pipeline.pipelines.experiment.own_names import with_own_names
from wbc_pipeline.training.options import StageOptions

FINE = ["band_neutrophil", "lymphocyte", "seg_neutrophil"]


def make_stages(**options):
    return {"main": StageOptions(epochs=1, batch_size=8, learning_rate=0.1, **options)}


def test_codes_become_the_data_set_s_own_names_in_order():
    stages = make_stages(ordinal={"chain": ["MMY", "SNE", "BNE"]})
    (stage,) = with_own_names(stages, FINE, variant="ordinal").values()
    assert stage.ordinal.chain == ("seg_neutrophil", "band_neutrophil")


def test_an_order_of_one_class_is_left_out_with_a_warning(caplog):
    stages = make_stages(ordinal={"chain": ["MMY", "SNE"]})
    with caplog.at_level(logging.WARNING):
        (stage,) = with_own_names(stages, FINE, variant="ordinal").values()
    assert stage.ordinal is None
    assert "of MMY, SNE the data set has seg_neutrophil" in caplog.text


def test_rare_classes_are_those_that_the_data_set_has():
    rare = {"rare_classes": ["PLY", "BNE"], "rare_augmentation": {"noise": 0.1}}
    (stage,) = with_own_names(make_stages(**rare), FINE, variant="rare").values()
    assert stage.rare_classes == ("band_neutrophil",)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"ordinal": {"chain": ["PMY", "MYY", "SNE"]}},
            r"v\.stages\.main\.ordinal\.chain: class 'MYY' is not known\. Did you mean 'MY'",
        ),
        (
            {"rare_classes": ["PLYY"], "rare_augmentation": {}},
            r"v\.stages\.main\.rare_classes: class 'PLYY' .*'PLY'.* band_neutrophil",
        ),
    ],
)
def test_a_class_that_nobody_knows_is_refused(options, words):
    with pytest.raises(UserError, match=words):
        with_own_names(make_stages(**options), FINE, variant="v")


def test_known_classes_that_the_data_set_lacks_are_warned_of(caplog):
    rare = {"rare_classes": ["PLY", "PC"], "rare_augmentation": {}}
    stages = make_stages(ordinal={"chain": ["PMY", "MMY", "SNE", "BNE"]}, **rare)
    with caplog.at_level(logging.WARNING):
        with_own_names(stages, FINE, variant="v")
    assert "v.stages.main.ordinal.chain: the data set has no PMY, MMY." in caplog.text
    assert "v.stages.main.rare_classes: the data set has no PLY, PC." in caplog.text
    assert "v.stages.main changes no image by its rare_augmentation" in caplog.text


def test_classes_that_the_data_set_has_are_not_warned_of(caplog):
    stages = make_stages(ordinal={"chain": ["SNE", "band_neutrophil"]})
    with caplog.at_level(logging.WARNING):
        with_own_names(stages, FINE, variant="v")
    assert not caplog.text


@pytest.mark.parametrize("options", [{}, {"focal": 2.0}])
def test_other_stages_stay_as_they_are(options):
    stages = make_stages(**options)
    assert with_own_names(stages, FINE, variant="plain") == stages
