"""Folders that are replaced as a whole."""

import json

import pytest
from kedro.io import DatasetError

from wbc_pipeline.datasets.folders import (
    CardDataset,
    LinkedFolderDataset,
    PortableModelDataset,
    replacing_folder,
)
from wbc_pipeline.errors import UserError
from wbc_pipeline.models.confidence import CONFIDENCE_FILES


def network(folder, **more):
    folder.mkdir(parents=True)
    (folder / "network.json").write_text(json.dumps({"name": "normal_cnn", **more}))
    (folder / "weights.safetensors").touch()
    return folder


def carry(target, **folders):
    try:
        PortableModelDataset().save({**folders, "target": target})
    except DatasetError as error:  # Kedro's, around ours
        raise error.__cause__ from None


def names_in(folder):
    return {path.name for path in folder.iterdir()}


def test_what_was_fitted_beside_one_model_does_not_stay_beside_the_next(tmp_path):
    first, second = network(tmp_path / "first"), network(tmp_path / "second", classes=["a"])
    fitted = tmp_path / "fitted"
    fitted.mkdir()
    for name in CONFIDENCE_FILES:
        (fitted / name).touch()
    target = tmp_path / "carried"
    carry(target, network=first, confidence=fitted)
    assert names_in(target) == {"network.json", "weights.safetensors", *CONFIDENCE_FILES}
    carry(target, network=second)
    assert names_in(target) == {"network.json", "weights.safetensors"}
    assert json.loads((target / "network.json").read_text())["classes"] == ["a"]
    assert names_in(tmp_path) == {"first", "second", "fitted", "carried"}


def test_a_carried_model_may_be_carried_onto_itself(tmp_path):
    target = network(tmp_path / "carried", classes=["a"])
    carry(target, network=target)
    assert names_in(target) == {"network.json", "weights.safetensors"}


@pytest.mark.parametrize("held", ["other files", "a training"])
def test_nothing_but_an_earlier_portable_model_is_replaced(tmp_path, held):
    model, target = network(tmp_path / "model"), tmp_path / "target"
    if held == "a training":
        network(target)
        (target / "provenance.json").touch()
    else:
        target.mkdir()
        (target / "thesis.tex").touch()
    before = names_in(target)
    with pytest.raises(UserError, match=f"holds {held}"):
        carry(target, network=model)
    assert names_in(target) == before


def test_a_folder_that_cannot_be_made_leaves_the_one_before(tmp_path):
    card = CardDataset(filepath=str(tmp_path / "card"))
    card.save({"README.md": "first", "champion.json": {}})
    with pytest.raises(DatasetError):
        card.save({"README.md": "second", "class_scores.csv": "no table"})
    assert (tmp_path / "card/README.md").read_text() == "first"
    assert names_in(tmp_path) == {"card"}
    card.save({})
    assert not names_in(tmp_path)


def test_linked_files_of_an_earlier_command_go(tmp_path):
    linked = LinkedFolderDataset(filepath=str(tmp_path / "reports/overlays"))
    for name in ("first.jpg", "second.jpg"):
        result = tmp_path / name.removesuffix(".jpg")
        result.mkdir()
        (result / name).touch()
        linked.save(result)
    assert names_in(tmp_path / "reports/overlays") == {"second.jpg"}
    assert names_in(tmp_path / "reports") == {"overlays"}


def test_of_two_commands_the_last_folder_stays(tmp_path):
    target = tmp_path / "target"
    with replacing_folder(target) as beside:
        beside.mkdir()
        (beside / "ours").touch()
        target.mkdir()  # another command's, made meanwhile
        (target / "theirs").touch()
    assert names_in(target) == {"ours"} and names_in(tmp_path) == {"target"}
