"""What `model=` may name."""

import json
import shutil

import pytest
from kedro.io import DatasetError

from wbc_pipeline.errors import UserError
from wbc_pipeline.keys import digest
from wbc_pipeline.models.portable import pack_network
from wbc_pipeline.tracking.saved_model import SavedModelDataset


def load(asked, home, uri="sqlite:///nothing.db"):
    dataset = SavedModelDataset(filepath=asked, home=str(home), uri=uri)
    try:
        return dataset.load()
    except DatasetError as error:  # Kedro's, around ours
        raise error.__cause__ from None


def network(folder, **more):
    folder.mkdir(parents=True)
    described = {"name": "normal_cnn", "trained_as": {}, **more}
    (folder / "network.json").write_text(json.dumps(described))
    return folder


def test_a_folder_above_the_only_training_is_enough(tmp_path):
    training = network(tmp_path / "models/normal/source-0-123", classes=["a"])
    network(tmp_path / "models/detectors/light", arguments={})  # answers no class
    network(tmp_path / "models/normal/.source-1.making", classes=["a"])
    assert load("models", tmp_path).folder == training


def test_several_trainings_are_listed(tmp_path):
    for seed in (0, 1):
        network(tmp_path / f"normal/source-{seed}", classes=["a"])
    with pytest.raises(UserError, match=r"2 models in .*: source-0, source-1\. Name one"):
        load("normal", tmp_path)


def test_a_network_behind_a_restorer_is_refused(tmp_path):
    network(tmp_path / "restored", classes=["a"], restorer="unet")
    with pytest.raises(UserError, match="the restorer unet has restored"):
        load("restored", tmp_path)


@pytest.mark.parametrize(
    ("asked", "said"),
    [(None, "Nothing says which model"), ("gone", "no folder .*gone"), (".", "No classifier in")],
)
def test_what_is_no_model_is_told(tmp_path, asked, said):
    with pytest.raises(UserError, match=said):
        load(asked, tmp_path)


def test_a_model_that_mlflow_does_not_have_is_told_with_its_store(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(UserError, match=f"No model runs:/0/model in MLflow's store {uri}"):
        load("runs:/0/model", tmp_path, uri)


@pytest.fixture
def earlier(tmp_path):
    """A training by an earlier version, which said less, among those of its paper."""
    folder = tmp_path / "models/normal/source-0-123"
    folder.mkdir(parents=True)
    described = {"name": "normal_cnn", "classes": ["a"]}
    (folder / "network.json").write_text(json.dumps(described))
    params = {"variant": "normal", "dataset": "demo", "stages": {}}
    key = {"params": params, "data": {}, "code": {}}
    (folder / "key.json").write_text(json.dumps(key))
    (tmp_path / "models/latest.json").write_text('{"normal/source-0": "normal/source-0-123"}')
    return folder


def test_what_it_was_trained_as_is_read_from_its_key(earlier):
    found = load("models/normal", earlier.parents[2])
    assert found.training == {"dataset": "demo", "variant": "normal"}


def test_what_an_earlier_version_trained_is_refused_where_its_paper_has_restorers(earlier):
    home = earlier.parents[2]
    assert load("models/normal", home).folder == earlier
    restorer = home / "models/restorers/unet/source-0-789"
    restorer.mkdir(parents=True)
    (restorer / "key.json").touch()
    with pytest.raises(UserError, match=r"nothing there says whether it looks.*\"restorer\": null"):
        load("models/normal", home)
    fitted = home / "models/confidence/normal/source-0-456"
    fitted.mkdir(parents=True)
    key = json.loads((earlier / "key.json").read_text())
    beside = {"params": {}, "data": {"training": digest(key)}, "code": {}}
    (fitted / "key.json").write_text(json.dumps(beside))
    assert load("models/normal", home).confidence == fitted


def test_what_an_earlier_version_trained_and_somebody_moved_is_refused(earlier, tmp_path):
    shutil.copytree(earlier, tmp_path / "elsewhere/alone")
    with pytest.raises(UserError, match=r"nothing there says whether it looks"):
        load("elsewhere", tmp_path)
    pack_network(earlier, tmp_path / "packed", known={"restorer": None})
    assert load("packed", tmp_path).folder == tmp_path / "packed"
