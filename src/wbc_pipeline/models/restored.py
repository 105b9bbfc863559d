"""Whether a saved classifier looks at images as they come, or at what a restorer made of them."""

import json
from pathlib import Path

from wbc_pipeline.errors import UserError
from wbc_pipeline.models import DESCRIPTION_FILE, RESTORER, TRAINED_AS
from wbc_pipeline.models.portable import KEY_FILE, LATEST_FILE, find_confidence

_RESTORERS = "restorers"  # where a paper keeps these, beside its trainings


def find_restorer(folder: Path) -> str | None:
    """Name the restorer that stands before a saved classifier.

    Earlier versions did not write it down. Of their trainings it is known that none does where
    something was fitted beside (see `models.confidence`), as is done only for networks that look at
    images as they come, and where the paper has trained no restorer.

    Parameters
    ----------
    folder
        Of a finished training, or of a portable network.

    Returns
    -------
    str or None
        None if it looks at images as they come.

    Raises
    ------
    UserError
        If that cannot be known.
    """
    description = json.loads((folder / DESCRIPTION_FILE).read_text())
    if RESTORER in description or TRAINED_AS in description:
        return description.get(RESTORER)
    trainings = folder.parent.parent
    restorers = (trainings / _RESTORERS).glob(f"*/[!.]*/{KEY_FILE}")
    has_none = (trainings / LATEST_FILE).is_file() and not any(restorers)
    if has_none or find_confidence(folder) is not None:
        return None
    raise UserError(
        f"An earlier version trained the network in {folder}, and nothing there says whether it "
        "looks at images as they come or at what a restorer made of them. Run its paper's pipeline "
        "again where it was trained, which trains nothing anew, and name that folder; or, if you "
        f'know that no restorer stands before it, write "{RESTORER}": null into {DESCRIPTION_FILE}.'
    )
