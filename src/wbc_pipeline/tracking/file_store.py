"""MLflow's old store, a folder of files such as ``./mlruns``, which MLflow refuses to write to."""

from pathlib import Path

from mlflow.utils.file_utils import local_file_uri_to_path

MIGRATION = "migrate-filestore"  # the command that MLflow's refusal names


def advise_migration(uri: str) -> str:
    """Say what happens now, which store to take, and how to keep the old runs, if there are any.

    Parameters
    ----------
    uri
        A path or a ``file:`` address.

    Examples
    --------
    >>> print(advise_migration("/home/me/mlruns").split(" Its ")[0])
    MLflow no longer writes into folders of files like /home/me/mlruns: this command is not tracked.
    """
    folder = Path(local_file_uri_to_path(uri)).resolve()
    database = f"sqlite:///{folder.with_name(folder.name + '.db')}"
    remedy = f"Set MLFLOW_TRACKING_URI={database}."
    if folder.exists():
        remedy = (
            f"Take the old runs along with `mlflow {MIGRATION} --source {folder} --target "
            f"{database}`, then set MLFLOW_TRACKING_URI={database}."
        )
    return (
        f"MLflow no longer writes into folders of files like {folder}: this command is not "
        "tracked. Its results are on disk, and the next command that tracks enters them. "
        f"{remedy}"
    )
