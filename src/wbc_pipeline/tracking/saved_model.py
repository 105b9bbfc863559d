"""A trained model, wherever it is: in MLflow, or in a folder."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from wbc_pipeline.datasets.results import KEY_FILE
from wbc_pipeline.errors import UserError
from wbc_pipeline.models import DESCRIPTION_FILE, TRAINED_AS
from wbc_pipeline.tracking.settings import MLFLOW_SETTINGS, store_uri, viewing_command

SCHEMES = ("runs:/", "models:/", "mlflow-artifacts:/")
_SHOWN = 3


@dataclass(frozen=True)
class SavedModel:
    """A saved classifier.

    Attributes
    ----------
    asked
        What the user named.
    folder
        Holds its network and, in a portable one, all that this needs.
    confidence
        Folder of what was fitted beside it; None for nothing.
    """

    asked: str
    folder: Path
    confidence: Path | None

    @property
    def training(self) -> dict:
        """What it was trained as, as far as that is known: paper, variant, data set, protocol."""
        described = json.loads((self.folder / DESCRIPTION_FILE).read_text())
        file = self.folder / KEY_FILE  # of trainings by earlier versions
        params = described.get(TRAINED_AS)
        if params is None:
            params = json.loads(file.read_text())["params"] if file.is_file() else {}
        names = ("dataset", "paper", "variant", "protocol", "seed", "fold")
        return {name: params[name] for name in names if name in params}


class SavedModelDataset(AbstractDataset[None, SavedModel]):
    """The model that ``model=`` names; read-only.

    Parameters
    ----------
    filepath
        ``runs:/<id>/model``, ``models:/<name>@<alias>``, ``models:/m-<id>``, or a folder: that of a
        finished training, or a portable one; null where nobody said it.
    home
        What a relative folder begins from.
    uri
        The store of MLflow, which ``MLFLOW_TRACKING_URI`` takes precedence over.
    """

    def __init__(self, *, filepath: Any, home: str, uri: str, metadata: dict | None = None):
        self._asked, self._home, self._uri = filepath, Path(home), uri
        self.metadata = metadata
        self._found: SavedModel | None = None

    def load(self) -> SavedModel:
        """Find it, once, and fetch it where it is not on this machine."""
        if self._found is None:
            self._found = self._find()
        return self._found

    def _find(self) -> SavedModel:
        if self._asked is None:
            raise UserError(
                'Nothing says which model to ask: --params="images=…,model=runs:/<id>/model" takes '
                "a model of MLflow, or the folder of a finished training, such as "
                "data/06_models/<dataset>/<paper>/<variant>/<protocol>-<seed>-<digest>."
            )
        asked = str(self._asked)
        is_logged = asked.startswith(SCHEMES)
        folder = self._fetch(asked) if is_logged else self._home / Path(asked).expanduser()
        network = _network_folder(folder, asked)
        if not is_logged:  # what stands behind a restorer was never logged
            _refuse_restored(network)
        from wbc_pipeline.models.portable import find_confidence

        return SavedModel(asked, network, find_confidence(network))

    def save(self, data: None) -> None:
        """Refuse: trainings save models."""
        raise UserError("A model is saved by the training that made it.")

    def _fetch(self, asked: str) -> Path:
        for name, value in MLFLOW_SETTINGS.items():
            os.environ.setdefault(name, value)
        import mlflow
        from mlflow.exceptions import MlflowException

        from wbc_pipeline.tracking.model_logging import tracking_to

        uri = store_uri(self._uri)
        try:
            with tracking_to(uri):
                return Path(mlflow.artifacts.download_artifacts(artifact_uri=asked))
        except (MlflowException, OSError) as error:
            raise UserError(
                f"No model {asked} in MLflow's store {uri} ({error}). `{viewing_command(uri)}` "
                "lists the models of each run; with data=… the store lies in that folder, and "
                "tracking.uri or MLFLOW_TRACKING_URI name another one."
            ) from None

    def _exists(self) -> bool:
        return True

    def _release(self) -> None:
        self._found = None

    def _describe(self) -> dict:
        return {"filepath": self._asked}


def _refuse_restored(folder: Path) -> None:
    """Refuse a network that looks at restored images: its restorer is not saved with it."""
    from wbc_pipeline.models.restored import find_restorer

    restorer = find_restorer(folder)
    if restorer is not None:
        raise UserError(
            f"The network in {folder} looks at images that the restorer {restorer} has restored, "
            "which is not carried with it: ask the model of a variant without a restorer."
        )


def _network_folder(folder: Path, asked: str) -> Path:
    """Find the one folder with a network that is, or lies in, a folder."""
    if not folder.is_dir():
        raise UserError(
            f"There is no folder {folder}, which model={asked} names. Name that of a finished "
            "training or of a portable model, or a model of MLflow as runs:/<id>/model."
        )
    if (folder / DESCRIPTION_FILE).is_file():
        return folder.absolute()
    found = sorted(
        file.parent.absolute()
        for file in folder.rglob(DESCRIPTION_FILE)
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and "classes" in json.loads(file.read_text())
    )
    if len(found) == 1:
        return found[0]
    if not found:
        raise UserError(f"No classifier in {folder}: looked for {DESCRIPTION_FILE} at any depth.")
    names = ", ".join(str(each.relative_to(folder.absolute())) for each in found[:_SHOWN])
    more = ", …" if len(found) > _SHOWN else ""
    raise UserError(f"{len(found)} models in {folder}: {names}{more}. Name one of them.")
