"""Classes that a schedule names by their codes, by the names that a data set gives them."""

import logging
from collections.abc import Mapping, Sequence

from wbc_pipeline.evaluation.scores.fine_classes import labels_of
from wbc_pipeline.training.options import StageOptions

_log = logging.getLogger(__name__)


def with_own_names(
    stages: Mapping[str, StageOptions], classes: Sequence[str], *, variant: str
) -> dict[str, StageOptions]:
    """Name the classes of stages as the data set does, and leave out those that it lacks.

    Parameters
    ----------
    stages
        With codes of the challenge, or names of the data set, in ``ordinal.chain`` and
        ``rare_classes``.
    classes
        Of the data set.
    variant
        Whose stages they are, for the warning where fewer than two classes of a chain are left: an
        order of one class teaches nothing, and the loss is left out.
    """
    return {name: _named(stage, classes, variant) for name, stage in stages.items()}


def _named(stage: StageOptions, classes: Sequence[str], variant: str) -> StageOptions:
    own = {}
    if stage.ordinal is not None:
        chain = tuple(labels_of(stage.ordinal.chain, classes))
        own["ordinal"] = stage.ordinal.model_copy(update={"chain": chain})
        if len(chain) < 2:
            own["ordinal"] = None
            _log.warning(
                "%s learns without its ordinal loss: of %s the data set has %s.",
                variant,
                ", ".join(stage.ordinal.chain),
                ", ".join(chain) or "none",
            )
    if stage.rare_classes is not None:
        own["rare_classes"] = tuple(labels_of(stage.rare_classes, classes))
    return stage.model_copy(update=own) if own else stage
