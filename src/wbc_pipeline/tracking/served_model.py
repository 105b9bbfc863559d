"""A trained network as MLflow serves it: images in, class probabilities out.

MLflow runs this file when it loads a model ("models from code"), so no code is pickled.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import packages_distributions, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import numpy as np
import pandas as pd

# What the code beside the model imports, beside OpenCV, which comes under several names.
REQUIREMENTS = (
    "numpy",
    "pandas",
    "pillow",
    "pydantic",
    "pywavelets",
    "rich",
    "safetensors",
    "scikit-image",
    "threadpoolctl",
    "torch",
    "torchstain",
)


class ImageClassifier(mlflow.pyfunc.PythonModel):
    """Make the network's views from images and predict, on the CPU."""

    def load_context(self, context: Any) -> None:
        """Rebuild network and chains from the saved folder."""
        from wbc_pipeline.imaging.chain import build_chain
        from wbc_pipeline.models import load_network

        self._network, self._description = load_network(Path(context.artifacts["network"]))
        self._chains = {
            name: build_chain(steps) for name, steps in self._description["views"].items()
        }

    def predict(self, model_input: np.ndarray, params: dict | None = None) -> pd.DataFrame:
        """Predict.

        Parameters
        ----------
        model_input
            uint8 [B, H, W, 3], RGB, of any one size; scaled as ingestion scales.
        params
            Not used.

        Returns
        -------
        DataFrame
            A row per image, a probability column per class.
        """
        import torch

        from wbc_pipeline.imaging.steps import resize
        from wbc_pipeline.training.predict import predict_probabilities

        packed = [resize(image, size=self._description["packed_size"]) for image in model_input]
        views = [
            np.stack([chain(image) for image in (model_input if chain.full_resolution else packed)])
            for chain in map(self._chains.get, self._network.views)
        ]
        probabilities, _ = predict_probabilities(
            self._network, views, np.arange(len(model_input)), device=torch.device("cpu")
        )
        return pd.DataFrame(probabilities, columns=self._description["classes"])


def log_model(folder: Path, example: np.ndarray, *, run_id: str, uri: str) -> None:
    """Log the network of a result's folder to its run, with signature and input example.

    Parameters
    ----------
    folder
        Holds ``weights.safetensors`` and ``network.json``.
    example
        uint8 [B, H, W, 3], RGB, packed images.
    run_id, uri
        The MLflow run and the store it is in.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    import wbc_pipeline
    from wbc_pipeline.models import NETWORK_FILES, load_network

    _, description = load_network(folder)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, -1, 3))]),
        outputs=Schema([ColSpec(DataType.double, name) for name in description["classes"]]),
    )
    with (
        _tracking_to(uri),
        TemporaryDirectory() as clean,
        mlflow.start_run(run_id=run_id),
    ):
        network = Path(clean) / "network"
        network.mkdir()
        for name in NETWORK_FILES:
            shutil.copy(folder / name, network)
        mlflow.pyfunc.log_model(
            name="model",
            python_model=__file__,
            artifacts={"network": str(network)},
            code_paths=[str(Path(wbc_pipeline.__file__).parent)],
            signature=signature,
            input_example=np.array(example),
            pip_requirements=[
                f"{name}=={version(name)}"
                for name in (*packages_distributions()["cv2"][:1], *REQUIREMENTS)
            ],
        )


@contextmanager
def _tracking_to(uri: str) -> Iterator[None]:
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


mlflow.models.set_model(ImageClassifier())
