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
from contextlib import suppress
from importlib.metadata import distributions
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
SECONDS = 300  # for a server to start, on a busy machine from code that nobody has compiled


@pytest.fixture
def image(tmp_path):
    """A file, and its pixels, RGB."""
    pixels = np.random.default_rng(0).integers(0, 256, (140, 100, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "cell.png"), pixels[..., ::-1])
    return tmp_path / "cell.png", pixels


@pytest.fixture
def log(tracker, key, write_result, example):
    """Log a model: its folder, and that of the training behind it."""

    def log(**network):
        result = write_result(key, **network)
        tracker.enter(result, example)
        run = tracker._find(key["params"]["paper"], result.digest)
        model_id = run.outputs.model_outputs[0].model_id
        model = mlflow.MlflowClient(tracker.uri).get_logged_model(model_id)
        return Path(local_file_uri_to_path(model.artifact_location)), result.folder

    return log


@pytest.fixture
def logged(log):
    return log()


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
def serve(port, tmp_path):
    """Start a server of a model in an environment, which its Python stands for."""
    started = []

    def serve(folder, python=sys.executable):
        where = ("--host", "127.0.0.1", "--port", str(port), "--env-manager", "local")
        beside = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"
        known = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with open(tmp_path / "server.log", "w") as log:
            process = subprocess.Popen(
                [python, "-m", "mlflow", "models", "serve", "-m", folder, *where],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=known | {"PATH": beside},
                cwd=tmp_path,
                start_new_session=True,
            )
        started.append(process)
        wait_for(f"http://127.0.0.1:{port}/ping", process, tmp_path / "server.log")
        return port

    yield serve
    for process in started:
        with suppress(ProcessLookupError):  # it has stopped by itself
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
def test_the_documented_command_asks_a_served_model(serve, logged, image):
    file, _ = image
    port = serve(logged[0])
    text = (PROJECT / "docs/how-to/serve-and-export.md").read_text()
    (command,) = re.findall(r"```bash\n(printf.*?)```", text, flags=re.DOTALL)
    done = subprocess.run(
        ["bash", "-c", command.replace("5000", str(port))],
        capture_output=True,
        text=True,
        check=True,
        cwd=file.parent,
    )
    check_answer(json.loads(done.stdout), logged[1], image)


def check_answer(served, network, image):
    """A served answer is that of the network here."""
    (row,) = served["predictions"]
    model = ImageClassifier()
    model.load_context(SimpleNamespace(artifacts={"network": network}))
    (expected,) = model.predict(image[1][np.newaxis]).to_dict("records")
    assert row == pytest.approx(expected, abs=1e-5)


TORCHVISION = {
    "name": "imagenet_cnn",
    "arguments": {"classes": 2, "image_size": 32, "backbone": "mobilenet_v3_small"},
    "views": {"image": [{"resize": {"size": 32}}]},
}


@pytest.fixture(scope="session")
def torch_alone(tmp_path_factory):
    """A folder with links to torch, torchvision and what they run GPUs with, and nothing else.

    They are the releases that a model requires, take gigabytes, and are installed here already.
    """
    folder = tmp_path_factory.mktemp("torch")
    for package in distributions():
        if re.fullmatch(r"torch|torchvision|triton|(nvidia|cuda)[-_].*", package.name):
            for name in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
                link = folder / name
                if not link.exists():
                    link.symlink_to(package.locate_file(name), target_is_directory=True)
    return folder


@pytest.fixture
def fresh(tmp_path, torch_alone):
    """Make an environment of a file of requirements alone, and give its Python."""

    def make(requirements):
        place = tmp_path / "fresh"
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        (site,) = place.glob("lib/python*/site-packages")
        (site / "torch_alone.pth").write_text(str(torch_alone))
        python = place / "bin/python"
        got = subprocess.run(
            [python, "-m", "pip", "install", "-q", "--no-compile", "-r", requirements],
            capture_output=True,
            text=True,
            check=False,
        )
        if got.returncode:
            reason = f"{requirements} cannot be installed here: {got.stderr.strip()[-300:]}"
            pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
        return python

    return make


@pytest.mark.slow
def test_a_model_of_torchvision_is_served_where_its_requirements_alone_are_installed(
    log, fresh, serve, network, image
):
    folder, trained = log(network=network | TORCHVISION)
    python = fresh(folder / "requirements.txt")
    found = subprocess.run(
        [python, "-c", "from importlib.util import find_spec; print(find_spec('wbc_pipeline'))"],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder.parent,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    assert found.stdout.strip() == "None"  # it comes with the model
    body = {"inputs": [[[[0, 0, 0]]]]}
    body["params"] = {"files": [base64.b64encode(image[0].read_bytes()).decode()]}
    asked = urllib.request.Request(
        f"http://127.0.0.1:{serve(folder, python)}/invocations",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=SECONDS) as answer:
        check_answer(json.loads(answer.read()), trained, image)
