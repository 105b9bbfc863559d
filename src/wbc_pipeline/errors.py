"""Errors that a user can mend, and how a command that fails says them."""

import errno
from collections.abc import Iterator

# Where a user's own parameters go.
OWN_PARAMETERS = "conf/local/parameters.yml (with --env=paper: conf/paper/parameters.yml)"


class UserError(ValueError):
    """Something that the user can mend: the message says what, where, and what to do now."""


_FULL = (
    "there is no space left. Free some, or take another folder with --params=data=…; the same "
    "command then makes only what is missing."
)
_REFUSED = (
    "the system refuses access ({reason}). Give this user the right to read what is in the raw "
    "folder and to write to the data folder, or take another folder with --params=data=…"
)
_NO_FOLDER = (
    "a file stands where a folder is needed ({reason}). Rename it, or take another folder with "
    "--params=data=…"
)
REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EACCES: _REFUSED,
    errno.EPERM: _REFUSED,
    errno.EROFS: _REFUSED,
    errno.ENOTDIR: _NO_FOLDER,
    errno.EEXIST: _NO_FOLDER,
}


def explain(error: BaseException) -> str | None:
    """Say in one sentence what a user can mend; None for an error that needs its traceback.

    Parameters
    ----------
    error
        What ended a command; what it was raised from counts, as Kedro wraps what a dataset raises.

    Examples
    --------
    >>> explain(UserError("No images in a/. Put some there."))
    'No images in a/. Put some there.'
    >>> explain(PermissionError(13, "Permission denied", "a/b.csv")).partition(". ")[0]
    'a/b.csv: the system refuses access (Permission denied)'
    >>> explain(KeyError("label")) is None
    True
    """
    for cause in _causes(error):
        if isinstance(cause, UserError):
            return str(cause)
        if isinstance(cause, OSError) and cause.errno in REMEDIES:
            return explain_os_error(cause)
    return None


def explain_os_error(error: OSError) -> str:
    """Name the file, the reason, and what to do."""
    reason = error.strerror or str(error)
    remedy = REMEDIES.get(error.errno, "{reason}").format(reason=reason)
    return f"{error.filename}: {remedy}" if error.filename else remedy.capitalize()


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
