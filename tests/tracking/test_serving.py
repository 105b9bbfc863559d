"""`mlflow models serve`, and the command of the documentation that asks it."""

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import cv2
import mlflow
import numpy as np
import pytest
from mlflow.exceptions import MlflowException
from mlflow.utils.file_utils import local_file_uri_to_path

from wbc_pipeline.tracking.served_model import ImageClassifier

PROJECT = Path(__file__).parents[2]
SECONDS = 120  # for a server to start


@pytest.fixture
def image(tmp_path):
    """A file, and its pixels, RGB."""
    pixels = np.random.default_rng(0).integers(0, 256, (140, 100, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "cell.png"), pixels[..., ::-1])
    return tmp_path / "cell.png", pixels


@pytest.fixture
def logged(tracker, key, write_result, example):
    """The folder of a logged model, and that of the training behind it."""
    result = write_result(key)
    tracker.enter(result, example)
    run = tracker._find(key["params"]["paper"], result.digest)
    model = mlflow.MlflowClient(tracker.uri).get_logged_model(run.outputs.model_outputs[0].model_id)
    return Path(local_file_uri_to_path(model.artifact_location)), result.folder


def test_a_model_takes_image_files_in_base64_in_place_of_pixels(logged, image):
    folder, _ = logged
    file, pixels = image
    model = mlflow.pyfunc.load_model(str(folder))
    text = base64.b64encode(file.read_bytes()).decode()
    asked = {"files": [text, text]}
    found = model.predict(np.zeros((1, 1, 1, 3), np.uint8), params=asked).to_numpy()
    expected = model.predict(pixels[np.newaxis]).to_numpy()
    np.testing.assert_allclose(found, np.repeat(expected, 2, axis=0), atol=1e-6)


@pytest.mark.parametrize(("text", "reason"), [("no base64", "base64"), ("bm9uZQ==", "not an im")])
def test_a_file_that_cannot_be_read_is_named_by_its_place(logged, image, text, reason):
    model = mlflow.pyfunc.load_model(str(logged[0]))
    whole = base64.b64encode(image[0].read_bytes()).decode()
    with pytest.raises(MlflowException, match=rf"number 2 of 2 cannot be read \(.*{reason}"):
        model.predict(np.zeros((1, 1, 1, 3), np.uint8), params={"files": [whole, text]})


@pytest.fixture
def port():
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


@pytest.fixture
def server(logged, port, tmp_path):
    """A server of the model, in this environment."""
    folder, _ = logged
    where = ("--host", "127.0.0.1", "--port", str(port), "--env-manager", "local")
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with open(tmp_path / "server.log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "models", "serve", "-m", folder, *where],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PATH": beside},
            cwd=tmp_path,
            start_new_session=True,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/ping", process, tmp_path / "server.log")
        yield port
    finally:
        os.killpg(process.pid, 15)
        process.wait(20)


def wait_for(address, process, log):
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail(log.read_text())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_documented_command_asks_a_served_model(server, logged, image):
    file, pixels = image
    text = (PROJECT / "docs/how-to/serve-and-export.md").read_text()
    (command,) = re.findall(r"```bash\n(printf.*?)```", text, flags=re.DOTALL)
    done = subprocess.run(
        ["bash", "-c", command.replace("5000", str(server))],
        capture_output=True,
        text=True,
        check=True,
        cwd=file.parent,
    )
    (row,) = json.loads(done.stdout)["predictions"]
    model = ImageClassifier()
    model.load_context(SimpleNamespace(artifacts={"network": logged[1]}))
    (expected,) = model.predict(pixels[np.newaxis]).to_dict("records")
    assert row == pytest.approx(expected, abs=1e-6)
