"""Parameters of training; unknown names are refused before any work."""

from typing import Literal

from pydantic import Field, ValidationError, model_validator

from wbc_pipeline.options import Options
from wbc_pipeline.suggestions import suggestion
from wbc_pipeline.training.augmentation_options import AugmentationOptions


class StageOptions(Options):
    """One complete training schedule.

    Parameters
    ----------
    epochs
        Largest number of passes over the training images.
    patience
        Epochs without an improvement of ``monitor`` after which training stops; ``null``: never.
    min_steps
        If the epochs would take fewer optimizer steps than this, as on a small data set, epochs and
        patience are multiplied until they take as many.
    batch_size
        Images per step and device.
    optimizer
        ``adam``, ``adamw`` (decoupled weight decay: Loshchilov and Hutter, 2019) or ``sgd``.
    learning_rate
        Learning rate; with a schedule, its largest value.
    weight_decay
        Weight decay of the optimizer.
    momentum
        Momentum of ``sgd``.
    schedule
        ``constant``; ``step``: times ``step_factor`` every ``step_epochs`` epochs; ``cosine``: down
        to 0 along half a cosine; ``one_cycle``: up, then down to nearly 0 (Smith and Topin, 2018).
    step_epochs, step_factor
        See ``schedule``.
    gradient_clip
        Largest norm of the gradient; 0 for no clipping.
    label_smoothing
        Share of a label that is spread over all classes.
    class_weights
        ``balanced`` weights the loss of a class inversely to its frequency in the training part.
    sampling
        ``uniform``: each image once per epoch; ``class`` or ``source``: draws with replacement such
        that each class or source is equally likely.
    keep
        Which weights are kept: those of the ``best`` epoch by ``monitor``, the ``last``, or an
        exponential moving ``average`` over all steps.
    average_decay
        Decay of the average, reached after a warm-up: ``min(decay, (1 + step) / (10 + step))``.
    monitor
        The metric that selects the best epoch and stops training early.
    freeze
        Prefixes of the names of parameters that stay fixed; batch normalisation and dropout under
        them run in evaluation mode.
    rates
        Factors of the learning rate by prefix of the parameters' names; the longest prefix counts.
    cached_features
        Train the head on features computed once. Needs a network with ``features(*views)`` and
        ``head(features)``, everything before the head frozen, and no augmentation.
    augmentation
        Random changes of the training images; ``null`` for none.
    """

    epochs: int = Field(gt=0)
    patience: int | None = Field(None, gt=0)
    min_steps: int = Field(0, ge=0)
    batch_size: int = Field(gt=0)
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(0.0, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    schedule: Literal["constant", "step", "cosine", "one_cycle"] = "constant"
    step_epochs: int = Field(10, gt=0)
    step_factor: float = Field(0.1, gt=0, lt=1)
    gradient_clip: float = Field(0.0, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    class_weights: Literal["none", "balanced"] = "none"
    sampling: Literal["uniform", "class", "source"] = "uniform"
    keep: Literal["best", "last", "average"] = "best"
    average_decay: float = Field(0.999, gt=0, lt=1)
    monitor: Literal["val_loss", "val_macro_f1", "val_accuracy", "val_iou"] = "val_loss"
    freeze: tuple[str, ...] = ()
    rates: dict[str, float] = Field(default_factory=dict)
    cached_features: bool = False
    augmentation: AugmentationOptions | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "StageOptions":
        for prefix, factor in self.rates.items():
            if factor <= 0:
                raise ValueError(f"rates.{prefix}: {factor} is not above 0; use freeze to fix it")
        if self.cached_features and self.augmentation is not None:
            raise ValueError("cached_features: augmented images have no cached features")
        return self


class JointLosses(Options):
    """Weights in the losses of networks that segment and classify at once; 0 leaves one out.

    Parameters
    ----------
    cross_entropy
        Of the class, over labelled images.
    bce
        Binary cross-entropy of cell and nucleus, over pixels whose part is known.
    dice
        One minus the soft Dice of cell and nucleus, likewise.
    alignment
        Mean distance of the network's saliency map from its prior.
    rim
        How much more a pixel counts in the binary cross-entropy of a region in the band of 5 pixels
        along its rim; 1 doubles it.
    """

    cross_entropy: float = Field(1.0, ge=0)
    bce: float = Field(1.0, ge=0)
    dice: float = Field(1.0, ge=0)
    alignment: float = Field(0.5, ge=0)
    rim: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _teach_something(self) -> "JointLosses":
        if not (self.cross_entropy or self.bce or self.dice):
            raise ValueError("one of cross_entropy, bce and dice must be above 0")
        return self


class RefineOptions(Options):
    """What is done to the predicted masks of networks that segment.

    Parameters
    ----------
    turns
        Average the predictions of each image's eight flips and turns.
    component
        Keep the component around the largest, most central nucleus, and the nucleus inside it, the
        holes of both filled.
    opening
        Before, cut whatever is connected with it by less than this share of the image's shorter
        side; 0 for nothing.
    """

    turns: bool = True
    component: bool = True
    opening: float = Field(0.04, ge=0, lt=1)


def merge_stages(train: StageOptions, overrides: dict[str, dict]) -> dict[str, StageOptions]:
    """Build a variant's stages from the shared schedule and each stage's overrides.

    Parameters
    ----------
    train
        The schedule that all stages share.
    overrides
        By stage, in order, the fields that differ.

    Raises
    ------
    ValueError
        If there is no stage, or a field or its value is wrong; names the stage and the field.

    Examples
    --------
    >>> train = StageOptions(epochs=9, batch_size=8, learning_rate=0.1)
    >>> stages = merge_stages(train, {"head": {"epochs": 2, "freeze": ["backbone"]}, "all": {}})
    >>> [(name, stage.epochs, stage.freeze) for name, stage in stages.items()]
    [('head', 2, ('backbone',)), ('all', 9, ())]
    """
    if not overrides:
        raise ValueError("stages: there is none; name at least one, such as {main: {}}")
    return {name: _merge(train, name, changes) for name, changes in overrides.items()}


def _merge(train: StageOptions, name: str, changes: dict) -> StageOptions:
    try:
        return StageOptions.model_validate(train.model_dump() | changes)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        known = StageOptions.model_fields
        raise ValueError(
            f"stages.{name}{'.' * bool(field)}{field}: {first['msg']}.{suggestion(field, known)} "
            f"Known are {', '.join(known)}."
        ) from None


class TrainerOptions(Options):
    """Arguments of Lightning's ``Trainer``; a probe decides ``auto``.

    Parameters
    ----------
    devices, num_nodes, strategy
        As in Lightning: ``devices: 4`` trains on four GPUs of each of ``num_nodes`` machines.
    precision
        Lightning's name of a precision, or ``auto``: bfloat16 if a probe finds it faster.
    channels_last
        Memory layout of the images, or ``auto``: the one that a probe finds faster.
    """

    devices: int = Field(1, gt=0)
    num_nodes: int = Field(1, gt=0)
    strategy: str = "auto"
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    channels_last: bool | Literal["auto"] = "auto"
