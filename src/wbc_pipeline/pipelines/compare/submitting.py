"""The node that takes other people's predictions."""

from __future__ import annotations

from pathlib import PurePath

import lazy_loader as lazy

from wbc_pipeline.datasets.comparison import Outputs
from wbc_pipeline.errors import UserError
from wbc_pipeline.pipelines.compare.commands import command_for
from wbc_pipeline.pipelines.splitting.options import SplittingOptions

pd = lazy.load("pandas")


def keep_submission(
    *,
    table: pd.DataFrame | None,
    earlier: dict[str, pd.DataFrame],
    outputs: Outputs,
    splitting: SplittingOptions,
    file: str | None,
    name: str | None,
    training: str | None,
    dataset: str,
    data: str,
    command: str,
) -> dict[str, pd.DataFrame]:
    """Check a submission against the test parts, and put it to the earlier ones.

    Parameters
    ----------
    table
        As it was read; None for none.
    earlier
        Submissions on this data set that were accepted before, by name; one of the same name goes.
    outputs
        What the data folder holds; the manifest is needed where there is a submission.
    splitting
        How the papers' splits were dealt.
    file, name, training
        What the command says of the submission; by default its name is that of its file.
    dataset, data, command
        Of this command.

    Returns
    -------
    dict of str to DataFrame
        By name; see ``submitted.check_submission``.

    Raises
    ------
    UserError
        Saying what is wrong with the submission, or that no image of the data set is known yet.
    """
    from typing import get_args

    from wbc_pipeline.evaluation.scores.submitted import UNSTATED, check_submission, name_runs
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.pipelines.splitting.nodes import split_images
    from wbc_pipeline.pipelines.splitting.options import Protocol
    from wbc_pipeline.pipelines.splitting.scope import choose_dealt

    if table is None:
        return earlier
    if outputs.manifest is None:
        advice = command_for("splitting", command, data=data, dataset=dataset)
        raise UserError(
            f"A submission is scored on the test images of {dataset}, of which {data} knows none "
            f"yet. Run `{advice}` first: it reads the images and deals the splits."
        )
    table = name_runs(table, get_args(Protocol))
    images = choose_dealt(outputs.manifest, splitting)
    splits = pd.concat(
        [
            split_images(images, protocol, int(seed), splitting)
            for protocol, seed in table[["protocol", "seed"]].drop_duplicates().to_numpy()
        ],
        ignore_index=True,
    )
    name = name or PurePath(file).stem
    submitted = check_submission(
        table,
        splits,
        accepted(outputs.manifest),
        name=name,
        training_data=training or UNSTATED,
    )
    return earlier | {name: submitted}
