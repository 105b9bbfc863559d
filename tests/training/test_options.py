import pytest
from pydantic import ValidationError

from wbc_pipeline.training.options import LATER, StageOptions, merge_stages

TRAIN = StageOptions(epochs=9, patience=3, batch_size=8, learning_rate=0.1)


def test_stages_override_the_shared_schedule_in_their_order():
    stages = merge_stages(TRAIN, {"head": {"epochs": 2, "freeze": ["body"]}, "all": {}})
    assert list(stages) == ["head", "all"]
    assert stages["head"].epochs == 2
    assert stages["head"].batch_size == 8
    assert stages["all"] == TRAIN


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epoch": 3}, r"stages\.head\.epoch: .*Did you mean 'epochs'.*Known are epochs"),
        ({"epochs": 0}, r"stages\.head\.epochs: .*greater than 0"),
        ({"augmentation": {"turn": 1}}, r"stages\.head\.augmentation\.turn"),
        ({"rates": {"body": 0}}, r"stages\.head: .*rates\.body.*use freeze"),
        ({"cached_features": True, "augmentation": {}}, r"stages\.head: .*no cached features"),
        ({"cached_passes": 2}, r"stages\.head: .*cached_passes: several are for"),
        (
            {"cached_features": True, "cached_passes": 2, "augmentation": {"cutmix": 0.5}},
            r"stages\.head: .*no one label",
        ),
        (
            {"logit_adjustment": 1.0, "sampling": "class"},
            r"stages\.head: .*logit_adjustment and sampling: class.*use one of them.*"
            r"by logit_adjustment: 0 or sampling: uniform",
        ),
        (
            {"class_weights": "effective", "sampling": "source_in_class"},
            r"stages\.head: .*class_weights and sampling: source_in_class.*use one of them",
        ),
        (
            {"class_weights": "balanced", "logit_adjustment": 0.5},
            r"stages\.head: .*class_weights and logit_adjustment.*use one of them",
        ),
        ({"rare_classes": ["a"]}, r"stages\.head: .*rare_classes: say in rare_augmentation"),
        ({"rare_augmentation": {"mixup": 0.5}}, r"stages\.head: .*set cutmix and mixup in"),
        ({"ordinal": {"chain": ["a", "a"]}}, r"stages\.head\.ordinal: .*a class twice"),
    ],
)
def test_a_wrong_override_names_stage_and_field(changes, words):
    with pytest.raises(ValueError, match=words):
        merge_stages(TRAIN, {"head": changes})


def test_what_the_shared_schedule_corrects_counts_in_a_stage_unless_it_is_switched_off():
    train = TRAIN.model_copy(update={"class_weights": "balanced"})
    with pytest.raises(
        ValueError, match=r"stages\.head: .*switch off .* by class_weights: none or"
    ):
        merge_stages(train, {"head": {"sampling": "class"}})
    merge_stages(train, {"head": {"sampling": "class", "class_weights": "none"}})


def test_a_variant_without_a_stage_is_refused():
    with pytest.raises(ValueError, match="stages: there is none"):
        merge_stages(TRAIN, {})


def test_four_fields_are_enough():
    assert TRAIN.keep == "best"
    with pytest.raises(ValidationError, match="learning_rate"):
        StageOptions(epochs=1, patience=1, batch_size=8)


def test_options_that_came_later_are_no_part_of_a_key_while_they_are_off():
    first = {"epochs", "patience", "batch_size", "class_weights", "cached_features", "augmentation"}
    assert first <= {*TRAIN.key()}
    assert not {*LATER} & {*TRAIN.key()}
    changes = {"focal": 2.0, "reset": ["head"], "ordinal": {"chain": ["a", "b"]}}
    changed = merge_stages(TRAIN, {"head": changes})["head"].key()
    assert {*changed} - {*TRAIN.key()} == {*changes}
