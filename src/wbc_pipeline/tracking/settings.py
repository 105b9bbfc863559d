"""How MLflow is talked to; imports nothing of it."""

import os
import re
import shlex
from pathlib import Path

# MLflow's own defaults let a dead server hold a run up for minutes, and talk much.
MLFLOW_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


def store_uri(said: str) -> str:
    """Give the store's URI, which the environment takes precedence over; a database's in full."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or said
    if not uri.startswith("sqlite:///"):
        return uri
    return f"sqlite:///{Path(uri.removeprefix('sqlite:///')).resolve()}"


def viewing_command(said: str) -> str:
    """Give what shows the store in a browser: a server's address, or a command."""
    uri = re.sub("//[^/@]*@", "//…@", store_uri(said))  # never a password
    if uri.startswith(("http://", "https://")):
        return uri
    if uri == store_uri(f"sqlite:///{Path.cwd() / 'mlflow.db'}"):
        return "mlflow ui"
    return f"mlflow ui --backend-store-uri {shlex.quote(uri)}"
