"""Parameters of training; unknown names are refused before any work."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from wbc_pipeline.options import Options
from wbc_pipeline.suggestions import suggestion
from wbc_pipeline.training.augmentation_options import AugmentationOptions


class OrdinalOptions(Options):
    """A loss that knows the order of some classes, such as the stages of a maturing cell.

    Parameters
    ----------
    chain
        Names of these classes, from the first to the last.
    weight
        Of the loss, beside the cross-entropy.
    """

    chain: tuple[str, ...] = Field(min_length=2)
    weight: float = Field(1.0, gt=0)

    @model_validator(mode="after")
    def _names_each_once(self) -> "OrdinalOptions":
        if len(set(self.chain)) < len(self.chain):
            raise ValueError("chain names a class twice; name each once, in order")
        return self


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
        ``balanced`` weights the loss of a class inversely to its frequency in the training part;
        ``effective`` inversely to its effective number of images (Cui et al., 2019).
    effective_beta
        How much the images of a class are taken to overlap in the effective number
        ``(1 - beta^n) / (1 - beta)``: 0 weights all classes alike, towards 1 as ``balanced``.
    focal
        Focusing parameter gamma of the focal loss (Lin et al., 2017); 0 is cross-entropy.
    logit_adjustment
        Factor tau of the logarithm of a class's share of the training part, which is added to its
        logit in the training loss alone (Menon et al., 2021); 0 for none.
    ordinal
        A further loss on the order of some classes; ``null`` for none.
    learn_from
        Which images: those of the ``train`` part; those ``outside``, of data sets that
        ``splitting.datasets`` leaves out; or ``both``.
    sampling
        ``uniform``: each image once per epoch; ``class`` or ``source``: draws with replacement such
        that each class or source is equally likely; ``source_in_class``: each class, and within it
        each of its sources.
    keep
        Which weights are kept: those of the ``best`` epoch by ``monitor``, the ``last``, or an
        exponential moving ``average`` over all steps.
    average_decay
        Decay of the average, reached after a warm-up: ``min(decay, (1 + step) / (10 + step))``.
    monitor
        The metric that selects the best epoch and stops training early.
    reset
        Prefixes of the names of parameters that are drawn anew before the stage, such as a head
        that learns from balanced batches on features learned before (Kang et al., 2020).
    freeze
        Prefixes of the names of parameters that stay fixed; batch normalisation and dropout under
        them run in evaluation mode.
    rates
        Factors of the learning rate by prefix of the parameters' names; the longest prefix counts.
    cached_features
        Train the head on features computed once. Needs a network with ``features(*views)`` and
        ``head(features)``, everything before the head frozen, and no augmentation but in several
        ``cached_passes``.
    cached_passes
        How many randomly augmented passes over the training images are cached, which epochs take in
        turn; 1 is for images as they are.
    augmentation
        Random changes of the training images; ``null`` for none.
    rare_augmentation
        Those of images of rare classes, in place of ``augmentation``; ``null`` for the same.
    rare_classes
        Names of the rare classes; ``null`` for those with less than half the mean class size of the
        training part.

    References
    ----------
    Y. Cui et al., "Class-balanced loss based on effective number of samples", CVPR 2019. T.-Y. Lin
    et al., "Focal loss for dense object detection", ICCV 2017. A. Menon et al., "Long-tail learning
    via logit adjustment", ICLR 2021. B. Kang et al., "Decoupling representation and classifier for
    long-tailed recognition", ICLR 2020.
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
    class_weights: Literal["none", "balanced", "effective"] = "none"
    effective_beta: float = Field(0.999, ge=0, lt=1)
    focal: float = Field(0.0, ge=0)
    logit_adjustment: float = Field(0.0, ge=0)
    ordinal: OrdinalOptions | None = None
    learn_from: Literal["train", "outside", "both"] = "train"
    sampling: Literal["uniform", "class", "source", "source_in_class"] = "uniform"
    keep: Literal["best", "last", "average"] = "best"
    average_decay: float = Field(0.999, gt=0, lt=1)
    monitor: Literal["val_loss", "val_macro_f1", "val_accuracy", "val_iou"] = "val_loss"
    reset: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()
    rates: dict[str, float] = Field(default_factory=dict)
    cached_features: bool = False
    cached_passes: int = Field(1, gt=0)
    augmentation: AugmentationOptions | None = None
    rare_augmentation: AugmentationOptions | None = None
    rare_classes: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "StageOptions":
        for prefix, factor in self.rates.items():
            if factor <= 0:
                raise ValueError(f"rates.{prefix}: {factor} is not above 0; use freeze to fix it")
        refuse_corrections(corrections(self))
        if self.rare_classes is not None and self.rare_augmentation is None:
            raise ValueError("rare_classes: say in rare_augmentation how their images change")
        if self.rare_augmentation and (
            self.rare_augmentation.cutmix or self.rare_augmentation.mixup
        ):
            raise ValueError(
                "rare_augmentation: an image is mixed with any other of its batch; set cutmix and "
                "mixup in augmentation"
            )
        self._check_cache()
        return self

    def _check_cache(self) -> None:
        changes = self.augmentation is not None or self.rare_augmentation is not None
        if self.cached_passes > 1 and not (self.cached_features and changes):
            raise ValueError(
                "cached_passes: several are for cached_features of augmented images; switch both "
                "on, or leave it at 1"
            )
        if self.cached_features and changes and self.cached_passes == 1:
            raise ValueError(
                "cached_features: augmented images have no cached features, unless cached_passes "
                "says how many passes over them are cached"
            )
        mixes = self.augmentation and (self.augmentation.cutmix or self.augmentation.mixup)
        if self.cached_features and mixes:
            raise ValueError(
                "cached_features: those of mixed images have no one label; switch cutmix and mixup "
                "off in this stage"
            )

    def key(self) -> dict:
        """Give the options for the key of a result.

        Those that came later are left out while they are off: they change nothing of what was
        trained before them.
        """
        return self.model_dump(exclude=set(LATER) - {*switched_on(self, LATER)})


#: Options of a stage that are part of a key where they are switched on.
LATER = (
    *("effective_beta", "focal", "logit_adjustment", "ordinal", "reset"),
    *("cached_passes", "rare_augmentation", "rare_classes", "learn_from"),
)
#: Options of a stage that only a task with labelled images knows, and those without masks alone.
OF_CLASSES = ("class_weights", "label_smoothing", "focal", "logit_adjustment")
OF_CLASSIFIERS = ("cached_features", "rare_augmentation", "ordinal")


def switched_on(options: StageOptions, names: Iterable[str]) -> list[str]:
    """Name those of some options that are not at their default."""
    fields = type(options).model_fields
    return [name for name in names if getattr(options, name) != fields[name].default]


#: The part of images that are learnt from alone: of data sets that no test is of.
OUTSIDE = "outside"
#: The parts that a stage learns from, by its option.
LEARNT_FROM = {"train": ("train",), OUTSIDE: (OUTSIDE,), "both": ("train", OUTSIDE)}
#: What each kind of sampling makes equally likely, from the outermost level to the innermost.
SAMPLED_BY = {
    "uniform": (),
    "class": ("class",),
    "source": ("source",),
    "source_in_class": ("class", "source"),
}
#: What makes up for the frequencies of classes, and how it is switched off.
CORRECTIONS = {
    "class_weights": "none",
    "logit_adjustment": 0,
    "sampling": "uniform",
    "prior_correction": 0,
}
HEADS = ("head", "classes")  # what networks call the layers that end in their logits


def corrections(options: StageOptions) -> list[str]:
    """Name what a stage makes up for the frequencies of classes by."""
    given = switched_on(options, ("class_weights", "logit_adjustment"))
    balances = "class" in SAMPLED_BY[options.sampling]
    return [*given, f"sampling: {options.sampling}"] if balances else given


def corrections_of_head(stages: Mapping[str, StageOptions]) -> list[str]:
    """Name those of the last stage that trains the head; none if no stage does.

    Examples
    --------
    >>> train = StageOptions(epochs=9, batch_size=8, learning_rate=0.1)
    >>> plain, balanced = {"sampling": "uniform"}, {"sampling": "class"}
    >>> corrections_of_head(merge_stages(train, {"all": plain, "fresh_head": balanced}))
    ['sampling: class']
    >>> corrections_of_head(merge_stages(train, {"head": balanced, "all": plain}))
    []
    """
    for options in reversed(stages.values()):
        if not any(prefix.partition(".")[0] in HEADS for prefix in options.freeze):
            return corrections(options)
    return []


def refuse_corrections(names: Sequence[str]) -> None:
    """Refuse several of `CORRECTIONS` for the same head.

    Raises
    ------
    ValueError
        Naming them, and how each is switched off.
    """
    if len(names) > 1:
        asked = " and ".join(names)
        options = [name.partition(":")[0] for name in names]
        off = " or ".join(f"{name}: {CORRECTIONS[name]}" for name in options)
        raise ValueError(
            f"{asked} each make up for the frequencies of classes, and together do so more than "
            f"once; use one of them, and switch off what is too much by {off}"
        )


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
