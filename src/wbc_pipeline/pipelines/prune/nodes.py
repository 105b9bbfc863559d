"""Nodes that find results which nothing asks for."""

from __future__ import annotations

from pathlib import Path

import lazy_loader as lazy

from wbc_pipeline.planning import Plan, folder_bytes

pd = lazy.load("pandas")


def list_unasked(plan: Plan, apply: bool) -> tuple[pd.DataFrame, list[Path]]:
    """List results that no current parameters ask for, and what is left of interrupted ones.

    Parameters
    ----------
    plan
        What all pipelines ask for under the current parameters. Where that cannot be told before
        something else is made, nothing is listed.
    apply
        Whether they go.

    Returns
    -------
    unasked
        ``folder``, ``megabytes`` and ``made`` (date) of each.
    removed
        The folders that go: none unless ``apply``.
    """
    folders = plan.unasked()
    table = pd.DataFrame(
        [
            {
                "folder": str(folder),
                "megabytes": round(folder_bytes(folder) / 1e6, 3),
                "made": pd.Timestamp(folder.stat().st_mtime, unit="s").strftime("%Y-%m-%d %H:%M"),
            }
            for folder in folders
        ],
        columns=["folder", "megabytes", "made"],
    )
    return table, folders if apply else []
