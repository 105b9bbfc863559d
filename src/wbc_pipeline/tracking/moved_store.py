"""A local store that was moved or copied together with its artifacts."""

import sqlite3
from contextlib import closing
from pathlib import Path

from mlflow.tracking._tracking_service import utils

# Where MLflow keeps absolute locations; it has no function that changes them.
LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)


def follow_moved_store(database: Path, artifacts: str | Path) -> None:
    """Point a store's experiments, runs and models to where its artifacts are now.

    Parameters
    ----------
    database
        MLflow's SQLite file, of the schema of the MLflow that is installed.
    artifacts
        The folder of artifacts. Nothing changes if it does not exist and the folder that the store
        knows, of the same name, does.
    """
    here = Path(artifacts)
    with closing(sqlite3.connect(database, timeout=5)) as connection, connection:
        known = connection.execute(
            "SELECT DISTINCT artifact_location FROM experiments WHERE artifact_location LIKE ?",
            [f"file://%/{here.name}"],
        )
        for (before,) in known.fetchall():
            is_elsewhere = Path(before.removeprefix("file://")).is_dir() and not here.is_dir()
            if before == here.as_uri() or is_elsewhere:
                continue
            utils._artifact_repos_cache.clear()  # in one process, MLflow keeps a run's old place
            length = len(before) + 1
            for table, column in LOCATIONS:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                    f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                    [here.as_uri(), length, before, length, f"{before}/"],
                )
