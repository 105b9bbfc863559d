"""Classes that a schedule names by their codes, by the names that a data set gives them."""

import logging
from collections.abc import Mapping, Sequence

from wbc_pipeline.errors import UserError
from wbc_pipeline.evaluation.scores.fine_classes import KNOWN_CODES, labels_of
from wbc_pipeline.options import check_name
from wbc_pipeline.training.options import StageOptions

_log = logging.getLogger(__name__)


def with_own_names(
    stages: Mapping[str, StageOptions], classes: Sequence[str], *, variant: str
) -> dict[str, StageOptions]:
    """Name the classes of stages as the data set does, and leave out those that it lacks.

    What is left out is warned of, and so is what that leaves without effect: an order of fewer than
    two classes, whose loss is left out, and rare classes of which there is none.

    Parameters
    ----------
    stages
        With codes of the challenge, or names of the data set, in ``ordinal.chain`` and
        ``rare_classes``.
    classes
        Of the data set.
    variant
        Whose stages they are, for messages.

    Raises
    ------
    UserError
        If a name is neither a code nor a class of the data set; says what is near.
    """
    return {
        name: _named(stage, classes, f"{variant}.stages.{name}") for name, stage in stages.items()
    }


def _named(stage: StageOptions, classes: Sequence[str], where: str) -> StageOptions:
    own = {}
    if stage.ordinal is not None:
        chain = _own(stage.ordinal.chain, classes, f"{where}.ordinal.chain")
        own["ordinal"] = stage.ordinal.model_copy(update={"chain": chain})
        if len(chain) < 2:
            own["ordinal"] = None
            _log.warning(
                "%s learns without its ordinal loss: of %s the data set has %s.",
                where,
                ", ".join(stage.ordinal.chain),
                ", ".join(chain) or "none",
            )
    if stage.rare_classes is not None:
        own["rare_classes"] = _own(stage.rare_classes, classes, f"{where}.rare_classes")
        if not own["rare_classes"]:
            _log.warning(
                "%s changes no image by its rare_augmentation: rare_classes names no class that "
                "the data set has.",
                where,
            )
    return stage.model_copy(update=own) if own else stage


def _own(names: Sequence[str], classes: Sequence[str], where: str) -> tuple[str, ...]:
    lacking = [name for name in names if not labels_of([name], classes)]
    for name in lacking:
        try:
            check_name(name, [*KNOWN_CODES, *classes], f"{where}: class")
        except ValueError as error:
            raise UserError(str(error)) from None
    if lacking:
        _log.warning("%s: the data set has no %s.", where, ", ".join(lacking))
    return tuple(labels_of(names, classes))
