"""What a user's mistake says on the command line."""

import errno
import hashlib
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from kedro.framework.project import pipelines
from kedro.framework.startup import bootstrap_project

from wbc_pipeline.cli import run
from wbc_pipeline.datasets.results import Task, run_task
from wbc_pipeline.errors import explain
from wbc_pipeline.imaging.arrays import ArrayFile
from wbc_pipeline.keys import Key

PROJECT = Path(__file__).parents[1]


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Give the one error of a command, and show that nothing raw was touched."""
    bootstrap_project(PROJECT)
    monkeypatch.chdir(PROJECT)
    raw = tmp_path / "raw"
    raw.mkdir()

    def command(*words, **parameters):
        before = digest_folder(raw)
        shared = {"data": tmp_path / "data", "raw": raw, "tracking.enabled": "false"}
        given = ",".join(f"{name}={value}" for name, value in {**shared, **parameters}.items())
        try:
            done = CliRunner().invoke(run, ["--env=test", f"--params={given}", *words])
        finally:
            pipelines.set_requested(None)
        assert done.exit_code == 1
        assert isinstance(done.exception, SystemExit), done.exception
        assert digest_folder(raw) == before
        _, message = done.output.split("Error: ")
        assert "Traceback" not in done.output
        return message.strip()

    return command


def digest_folder(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(path, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]


def write_images(folder, **counts):
    random = np.random.default_rng(0)
    for label, count in counts.items():
        (folder / label).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 255, (48, 48, 3), np.uint8)
            cv2.imwrite(str(folder / label / f"{number}.png"), pixels)


def test_a_class_of_one_image_beside_one_other_is_named(refused, tmp_path):
    write_images(tmp_path / "raw/images", basophil=12, monocyte=1)
    message = refused("--pipelines=blend", dataset="image_folder", variants="normal")
    assert message.startswith("The random split of seed 0 can test basophil alone")
    assert "there are monocyte: 1, basophil: 12. Add images" in message


def test_too_few_images_to_split_are_counted(refused, tmp_path):
    write_images(tmp_path / "raw/images", basophil=3, monocyte=3)
    message = refused("--pipelines=blend", dataset="image_folder", variants="normal")
    assert message.startswith("6 images of 2 classes are too few")


def test_diverged_training_names_the_learning_rate(refused, tmp_path):
    write_images(tmp_path / "raw/images", basophil=12, monocyte=12)
    message = refused(
        *("--pipelines=blend", "--to-nodes=blend.experiment.train"),
        **{"dataset": "image_folder", "variants": "normal", "protocols": "random"},
        **{"blend.train.learning_rate": "1e6", "blend.train.epochs": 4},
    )
    assert "training diverged; lower train.learning_rate" in message
    assert "\n" not in message


def test_a_full_disk_is_one_error_that_names_the_place(refused, tmp_path, monkeypatch):
    def fill(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_images(tmp_path / "raw/images", basophil=4, monocyte=4)
    monkeypatch.setattr(ArrayFile, "write", fill)
    message = refused("--pipelines=ingestion", dataset="image_folder")
    assert message.startswith(f"{tmp_path}/data/03_primary/image_folder/images/")
    assert "there is no space left. Free some, or take another folder" in message
    assert "\n" not in message


def test_whatever_a_library_raises_on_a_full_disk_is_told_as_that(tmp_path, monkeypatch):
    def compute(folder):
        raise RuntimeError("PytorchStreamWriter failed writing file data/3")

    task = Task(Key(params={}, data={}, code={}), compute)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 0}))
    with pytest.raises(OSError, match="No space left") as raised:
        run_task(tmp_path, "normal", task)
    assert explain(raised.value).startswith(f"{tmp_path}/normal-")


def test_a_file_in_place_of_the_data_folder_is_named(refused, tmp_path):
    (tmp_path / "data").write_text("")
    write_images(tmp_path / "raw/images", basophil=4, monocyte=4)
    message = refused("--pipelines=ingestion", dataset="image_folder")
    assert message.startswith(f"data: {tmp_path}/data: a file stands where a folder is needed")


def test_a_folder_that_refuses_files_is_told_before_any_node_runs(refused, tmp_path, monkeypatch):
    def refuse(*, dir):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(dir))

    write_images(tmp_path / "raw/images", basophil=4, monocyte=4)
    monkeypatch.setattr("wbc_pipeline.parameters.checks.TemporaryFile", refuse)  # root may write
    message = refused("--pipelines=ingestion", dataset="image_folder")
    assert message.startswith(f"data: {tmp_path}/data: the system refuses access (Permission den")
    assert not list((tmp_path / "data").iterdir())


@pytest.mark.parametrize(
    ("words", "parameters", "message"),
    [
        (["--pipelines=bled"], {}, "There is no pipeline 'bled'. Did you mean 'blend'? Known are"),
        (["--pipelines=figures"], {}, "There is no pipeline 'figures'. Known are __default__"),
        (["--pipelines=blend", "--nodes=train"], {}, "Did you mean: ['blend.experiment.train']"),
        (["--pipelines=blend", "--tags=report"], {}, "`kedro registry describe blend` lists"),
        (["--pipelines=blend", "--env=papers"], {}, "name a folder of conf/ with --env"),
        (["--pipelines=blend", "--runner=ThreadRuner"], {}, "Did you mean 'ThreadRunner'?"),
        (["--pipelines=blend"], {"dataset": "leukemia"}, "Did you mean 'leukemia5'?"),
        (["--pipelines=blend"], {"seeds": 0}, "seeds: Input should be greater than 0"),
        (["--pipelines=blend"], {"seeds": "many"}, "seeds: Input should be a valid integer"),
        (["--pipelines=blend"], {"device": "gpu"}, "'auto', 'cpu' or 'cuda' (got 'gpu')"),
        (["--pipelines=blend"], {"protocols": "randm"}, "Input should be 'random'"),
        (["--pipelines=blend"], {"variants": "norml"}, "blend has no variant 'norml'"),
        (["--pipelines=blend"], {"dataset": "pbc"}, '--params="raw=/your/folder"'),
        (
            ["--pipelines=blend"],
            {"blend.variants.normal.arguments.widht": 3},
            "unexpected keyword argument 'widht'",
        ),
        (
            ["--pipelines=localize"],
            {"localize.variants.vgg16_whole.weights": "/nowhere/w.pth"},
            "No weights at /nowhere/w.pth; set weights to an existing",
        ),
        (["--pipelines=blend", "--tags=reporting"], {}, "run `kedro run --pipeline=blend` first"),
    ],
)
def test_a_newcomer_s_mistake_costs_one_line(refused, words, parameters, message):
    assert message in refused(*words, **parameters)


def test_the_option_of_all_our_pages_is_not_called_deprecated(refused, recwarn):
    refused("--pipeline=blend", dataset="leukemia5")
    assert not [each for each in recwarn if "--pipeline" in str(each.message)]


def test_an_error_that_is_no_user_s_keeps_its_traceback(monkeypatch):
    def fail(**_):
        raise KeyError("label")

    monkeypatch.setattr("wbc_pipeline.cli.kedro_run.callback", fail)
    assert isinstance(CliRunner().invoke(run, []).exception, KeyError)


def test_a_comma_within_a_path_is_explained():
    done = CliRunner().invoke(run, ["--params=dataset=image_folder,raw=/cells,stained"])
    assert done.exit_code == 2
    assert "splits at commas. Write such a path into conf/local/parameters.yml" in done.output
    assert "(with --env=paper: conf/paper/parameters.yml)" in done.output
