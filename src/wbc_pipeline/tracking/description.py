"""A run's description in MLflow, in Markdown."""

from collections.abc import Mapping
from pathlib import Path


def describe_run(
    params: Mapping[str, str],
    *,
    folder: str | None = None,
    report: Path | None = None,
    scores: Mapping[str, float] | None = None,
) -> str:
    """Say what was trained, how well it does, and where the rest is.

    Parameters
    ----------
    params
        The run's parameters; ``paper``, ``variant``, ``protocol``, ``seed``, ``fold`` and
        ``dataset`` among them, and ``network`` or an ensemble's ``members`` and ``combine``.
    folder
        The result's folder.
    report
        The paper's report.
    scores
        A row of the report's metrics.

    Examples
    --------
    >>> params = dict(paper="blend", variant="normal", dataset="demo", protocol="source", seed=0)
    >>> scores = dict(accuracy=0.9, accuracy_low=0.8, accuracy_high=0.95)
    >>> print(describe_run({**params, "fold": "1", "network": "normal_cnn"}, scores=scores))
    **normal** (network `normal_cnn`) of the paper `blend`, data set `demo`, protocol `source`, \
seed 0, fold 1.
    <BLANKLINE>
    **Test accuracy 0.900** (interval 0.800 to 0.950).
    """
    what = (
        f"network `{params['network']}`"
        if "network" in params
        else f"ensemble of {params['members']}, combined by {params['combine']}"
    )
    lines = [
        f"**{params['variant']}** ({what}) of the paper `{params['paper']}`, data set "
        f"`{params['dataset']}`, protocol `{params['protocol']}`, seed {params['seed']}, "
        f"fold {params['fold']}."
    ]
    if scores is not None:
        verdict = f"**Test accuracy {scores['accuracy']:.3f}**"
        low, high = (scores.get(f"accuracy_{side}", float("nan")) for side in ("low", "high"))
        interval = f" (interval {low:.3f} to {high:.3f})" if low <= high else ""
        lines.append(f"{verdict}{interval}.")
    if folder is not None:
        lines.append(f"Result folder: `{folder}`")
    if report is not None:
        lines.append(f"Report: `{report}`")
    return "\n\n".join(lines)
