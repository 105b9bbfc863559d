"""Logging a trained network as a model that MLflow serves."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.utils.file_utils import local_file_uri_to_path

from wbc_pipeline.imaging.registry import STEPS
from wbc_pipeline.imaging.steps import resize
from wbc_pipeline.keys import PACKAGE
from wbc_pipeline.models import WEIGHTS_FILE, network_class
from wbc_pipeline.models.portable import pack_network
from wbc_pipeline.tracking.served_code import reachable_files, requirements

# MLflow keeps the example twice, as text; the model scales images itself.
EXAMPLE_SIZE = 32
_SOURCES = Path(__file__).parents[2]


def log_model(
    folder: Path, description: dict, example: np.ndarray, *, run_id: str, uri: str
) -> None:
    """Log the classifier of a result's folder to its run, with signature and input example.

    Beside the network the model has the files that its views read, and the part of this package
    that prediction reaches. In a store on the disk of the result, its weights are a hard link to
    the result's, and take no space.

    Parameters
    ----------
    folder
        Holds ``weights.safetensors`` and ``network.json``.
    description
        What is in ``network.json``.
    example
        uint8 [B, H, W, 3], RGB, packed images.
    run_id, uri
        The MLflow run and the store it is in.
    """
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, -1, 3))]),
        outputs=Schema([ColSpec(DataType.double, name) for name in description["classes"]]),
        params=ParamSchema([ParamSpec("files", DataType.string, default=[], shape=(-1,))]),
    )
    files = reachable_files(served_modules(description))
    with (
        tracking_to(uri),
        _installed_as_required(),
        TemporaryDirectory() as temporary,
        mlflow.start_run(run_id=run_id),
    ):
        network, code = Path(temporary, "network"), Path(temporary, "code")
        pack_network(folder, network)
        for file in files:
            copy = code / file.relative_to(_SOURCES)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
        model = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("served_model.py")),
            artifacts={"network": str(network)},
            code_paths=[str(code / PACKAGE)],
            signature=signature,
            input_example=resize(example[0], size=EXAMPLE_SIZE)[np.newaxis],
            pip_requirements=requirements(files),
        )
    location = mlflow.MlflowClient(uri).get_logged_model(model.model_id).artifact_location
    if location.startswith("file:"):
        artifacts = Path(local_file_uri_to_path(location))
        _link(folder / WEIGHTS_FILE, artifacts / "artifacts" / "network" / WEIGHTS_FILE)


def log_beside(folder: Path, names: Iterable[str], *, model_id: str, uri: str) -> None:
    """Add files of a folder to those of a logged model's network.

    Parameters
    ----------
    folder
        Where they are.
    names
        Of the files.
    model_id, uri
        The logged model and the store it is in.
    """
    client = mlflow.MlflowClient(uri)
    for name in names:
        client.log_model_artifact(model_id, str(folder / name), "artifacts/network")


def served_modules(description: dict) -> frozenset[str]:
    """Name the modules with which the prediction of a network begins."""
    steps = {name for steps in description["views"].values() for step in steps for name in step}
    registered = {STEPS[name].function.partition(":")[0] for name in steps if name in STEPS}
    network = network_class(description["name"]).__module__
    return frozenset({f"{__package__}.served_model", network, *registered})


def _link(kept: Path, copy: Path) -> None:
    """Replace a copy by a hard link to the kept file, where the file system has them."""
    link = copy.with_suffix(".link")
    with suppress(OSError):
        os.link(kept, link)
        os.replace(link, copy)


@contextmanager
def _installed_as_required() -> Iterator[None]:
    """Spare MLflow's comparison of requirements with what is installed, from which they come.

    It takes a second or two for each model.
    """
    from mlflow import pyfunc
    from mlflow.utils import environment

    check = environment.warn_dependency_requirement_mismatches
    places = environment, pyfunc  # where it is written, and where it is loaded to try the example
    for place in places:
        place.warn_dependency_requirement_mismatches = lambda _: None
    try:
        yield
    finally:
        for place in places:
            place.warn_dependency_requirement_mismatches = check


@contextmanager
def tracking_to(uri: str) -> Iterator[None]:
    """Point MLflow's global functions at a store, and leave no trace in the environment."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before
