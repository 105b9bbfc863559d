"""A trained network as MLflow serves it: images in, class probabilities out.

MLflow runs this file when it loads a model ("models from code"), so no code is pickled.
"""

import base64
import binascii
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException


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
            ``files``: image files as text in base64, of any sizes, in place of `model_input`.

        Returns
        -------
        DataFrame
            A row per image, a probability column per class.
        """
        files = (params or {}).get("files", [])
        images = _read(files) if len(files) else model_input
        looks = [self._classifier.look(image) for image in images]
        views = [np.stack([look[name].image for look in looks]) for name in looks[0]]
        answers = self._classifier.answer(views)
        return pd.DataFrame(answers.probabilities, columns=self._classifier.classes)


def _read(files: Sequence[str]) -> Iterator[np.ndarray]:
    """Read image files in base64 as ingestion reads them; each is a file for a moment.

    Raises
    ------
    MlflowException
        Naming the first that cannot be read, by its place; the server answers 400.
    """
    from wbc_pipeline.imaging.reading import UnreadableImageError, read_image

    with TemporaryDirectory() as folder:
        file = Path(folder, "image")
        for place, text in enumerate(files, start=1):
            try:
                file.write_bytes(base64.b64decode(text, validate=True))
                yield read_image(file).pixels
            except (binascii.Error, UnreadableImageError) as error:
                raise MlflowException.invalid_parameter_value(
                    f"files: number {place} of {len(files)} cannot be read ({error}). Send image "
                    "files as text in base64, without line breaks."
                ) from error


mlflow.models.set_model(ImageClassifier())
