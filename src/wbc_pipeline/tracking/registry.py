"""MLflow's registry: the best leak-free network of a data set has an alias."""

from pathlib import Path

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from wbc_pipeline.tracking.model_logging import tracking_to

CHAMPION = "champion"  # the alias
CARD_FILE = "README.md"


def crown(name: str, *, model_id: str, card: Path, uri: str) -> ModelVersion:
    """Register a logged model under a name, with the alias `CHAMPION`, and give it its card.

    Where the alias stands at this model, no version is made. A model that was champion before
    keeps the version that it had.

    Parameters
    ----------
    name
        Of the registered model.
    model_id
        The logged model.
    card
        Folder of the card: its files stand beside those of the model.
    uri
        The store.

    Returns
    -------
    ModelVersion
        That of the champion.
    """
    client = mlflow.MlflowClient(uri)
    for file in sorted(card.glob("[!.]*")):
        client.log_model_artifact(model_id, str(file))
    text = (card / CARD_FILE).read_text()
    champion, source = _find_champion(client, name), f"models:/{model_id}"
    if champion is None or champion.source != source:
        champion = _version_of(client, name, source, uri)
        client.set_registered_model_alias(name, CHAMPION, champion.version)
    if champion.description != text:
        client.update_model_version(name, champion.version, description=text)
    return champion


def _find_champion(client: mlflow.MlflowClient, name: str) -> ModelVersion | None:
    if not client.search_registered_models(filter_string=f"name = '{name}'"):
        client.create_registered_model(name)
        return None
    try:
        return client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException:  # it was taken away
        return None


def _version_of(client: mlflow.MlflowClient, name: str, source: str, uri: str) -> ModelVersion:
    """Find the version of a logged model, or make one."""
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.source == source:  # stores on disk do not keep its model_id
            return version
    with tracking_to(uri):  # where MLflow looks the logged model up
        return client.create_model_version(name, source)
