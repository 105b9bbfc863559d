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
        from wbc_pipeline.training.classifier import Classifier

        self._classifier = Classifier(Path(context.artifacts["network"]))

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
        looks = [self._classifier.look(image) for image in model_input]
        views = [np.stack([look[name].image for look in looks]) for name in looks[0]]
        answers = self._classifier.answer(views)
        return pd.DataFrame(answers.probabilities, columns=self._classifier.classes)


mlflow.models.set_model(ImageClassifier())
