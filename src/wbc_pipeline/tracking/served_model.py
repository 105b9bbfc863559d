"""A trained network as MLflow serves it: images in, class probabilities out.

MLflow runs this file when it loads a model ("models from code"), so no code is pickled.
"""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd


class ImageClassifier(mlflow.pyfunc.PythonModel):
    """Compute the network's views from images and predict, on the CPU.

    It answers as its variant did in the pipeline when it was trained: by ``turns``, and with
    ``prior_correction``, where the description has them.
    """

    def load_context(self, context: Any) -> None:
        """Rebuild network and chains from the saved folder."""
        from wbc_pipeline.imaging.chain import build_chain
        from wbc_pipeline.models import load_network
        from wbc_pipeline.models.joint import as_classifier
        from wbc_pipeline.training.turns import Turned

        network, self._description = load_network(Path(context.artifacts["network"]))
        self._network = as_classifier(network)
        if self._description.get("turns"):
            self._network = Turned(self._network)
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
        from wbc_pipeline.training.predict import correct_prior, predict_probabilities

        packed = [resize(image, size=self._description["packed_size"]) for image in model_input]
        views = [
            np.stack([chain(image) for image in (model_input if chain.full_resolution else packed)])
            for chain in map(self._chains.get, self._network.views)
        ]
        probabilities, _ = predict_probabilities(
            self._network, views, np.arange(len(model_input)), device=torch.device("cpu")
        )
        power = self._description.get("prior_correction")
        if power:
            counts = self._description["class_counts"]
            probabilities = correct_prior(probabilities, counts, power=power)
        return pd.DataFrame(probabilities, columns=self._description["classes"])


mlflow.models.set_model(ImageClassifier())
