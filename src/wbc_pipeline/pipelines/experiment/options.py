"""Parameters that every paper has: its views, variants, schedule, scores."""

from pathlib import Path
from typing import Literal

from pydantic import Field, RootModel, field_validator, model_validator

from wbc_pipeline.imaging.recompose_options import RecomposeOptions
from wbc_pipeline.models import NETWORKS
from wbc_pipeline.options import Options, check_name, split_text
from wbc_pipeline.pipelines.preprocessing.options import Name, Restorers, ShiftOptions, Views
from wbc_pipeline.pipelines.reporting.options import (
    OtherMethods,
    PaperOptions,
    PrintedOptions,
    Published,
    ScoreOptions,
)
from wbc_pipeline.pipelines.robustness.options import RobustnessOptions
from wbc_pipeline.training.options import (
    JointLosses,
    RefineOptions,
    StageOptions,
    TrainerOptions,
    corrections_of_head,
    merge_stages,
    refuse_corrections,
)


class CompositeOptions(RecomposeOptions):
    """Composites that a network learns from beside the images of its training part.

    Parameters
    ----------
    count
        Composites of each image.
    plain
        Share of the images themselves among the training rows: they repeat as often as that takes,
        at least once unless it is 0.
    """

    count: int = Field(gt=0)
    plain: float = Field(0.5, ge=0, lt=1)

    @property
    def recompose(self) -> RecomposeOptions:
        """What is drawn."""
        return RecomposeOptions(**self.model_dump(include=set(RecomposeOptions.model_fields)))


def plain_repeats(drawn: float, plain: float) -> int:
    """Tell how often an image repeats beside ``drawn`` drawn ones, for a share of ``plain``.

    Examples
    --------
    >>> plain_repeats(8, 0.5), plain_repeats(1, 0.25), plain_repeats(3, 0)
    (8, 1, 0)
    """
    return max(1, round(drawn * plain / (1 - plain))) if plain else 0


# What an ensemble may say.
OF_ENSEMBLES = {"ensemble", "best", "of", "combine", "on_request"}


class Variant(Options):
    """A network, or an ensemble of variants.

    Parameters
    ----------
    network
        Its name in ``wbc_pipeline.models``.
    arguments
        Of its constructor.
    views
        The paper's view for a view of the network, where they are not of one name.
    weights
        What a network with a published ``backbone`` begins with: ``none``, ``imagenet`` or
        ``dinobloom`` (an error where those weights cannot be had), ``auto`` (then a warning), or a
        file of weights.
    losses
        Weights of the losses of a network that segments and classifies.
    composites
        What a network with one view learns from beside the training images; null for nothing.
    refine
        What is done to the masks that a network that segments predicts; null for nothing.
    restorer
        Which of the paper's restorers has restored the images that it looks at; null for none.
    detector
        Which detector of the paper finds the cell in its views, trained for each split on the
        annotated images behind the training part; null for what the view's own step finds.
    turns
        Predict the mean over each image's eight flips and turns; of a network that segments too,
        ``refine`` says so.
    prior_correction
        Divide predicted probabilities by the classes' shares of the training part, to this power; 0
        leaves them as they are. Refused where the last stage that trains the head has made up for
        these shares itself.
    draw
        Which of several trainings that differ by chance alone, as members of an ensemble: each
        number gives other first weights, another order and other augmentation.
    stages
        Schedule overrides by the name of a stage, in order; each stage begins with the weights that
        the one before it kept.
    ensemble
        In place of a network, the variants whose predictions are combined.
    best
        In place of a network, how many are combined: those of the highest macro-F1 on the
        validation part, chosen for each protocol, seed and fold.
    of
        The networks that ``best`` chooses from, as far as they take part; null for all that do.
        Those with the weights of another one, such as its ``turns``, are better left out.
    combine
        ``mean`` of probabilities; ``weighted``: weights and a temperature fitted on the validation
        part; ``vote``: the class that most members name; ``calibrated``: mean after a temperature
        of each member, fitted likewise; ``by_class``: weights of each member for each class that it
        answers, fitted likewise.
    on_request
        Takes part only where the parameter ``variants`` names it, and not with ``all``.
    """

    network: str | None = None
    arguments: dict = Field(default_factory=dict)
    views: dict[str, str] = Field(default_factory=dict)
    weights: str = "none"
    losses: JointLosses = Field(default_factory=JointLosses)
    composites: CompositeOptions | None = None
    refine: RefineOptions | None = None
    restorer: str | None = None
    detector: str | None = None
    turns: bool = False
    prior_correction: float = Field(0.0, ge=0)
    draw: int = Field(0, ge=0)
    stages: dict[Name, dict] = Field(default_factory=lambda: {"main": {}}, min_length=1)
    ensemble: list[str] = Field(default_factory=list)
    best: int | None = Field(None, gt=0)
    of: list[str] | None = None
    combine: Literal["mean", "weighted", "vote", "calibrated", "by_class"] = "mean"
    on_request: bool = False

    @model_validator(mode="after")
    def _is_one_of_both(self) -> "Variant":
        given = [self.network is not None, bool(self.ensemble), self.best is not None]
        if sum(given) != 1:
            raise ValueError(
                "give either a network or an ensemble of variants: names, or best: how many"
            )
        if not self.network and (own := self.model_fields_set - OF_ENSEMBLES):
            raise ValueError(f"an ensemble is computed from predictions, and has no {min(own)}")
        if self.ensemble and len(set(self.ensemble)) < 2:
            raise ValueError("an ensemble needs two variants or more")
        if self.of is not None and self.best is None:
            raise ValueError("of: say by best how many of them are combined")
        if self.of is not None and len(set(self.of)) <= self.best:
            raise ValueError(f"best: {self.best} of {len(set(self.of))} networks is no choice")
        if self.detector is not None and (self.restorer or self.composites):
            raise ValueError(
                "detector: its view is cut from the images as they come; take restorer and "
                "composites out"
            )
        if self.weights != "none" and "backbone" not in self.arguments:
            raise ValueError(f"weights {self.weights}: {self.network} has no backbone to load them")
        return self

    @property
    def answers(self) -> dict[str, bool | float]:
        """What is changed of the network's answers: ``turns``, ``prior_correction`` where on."""
        given = {"turns": self.turns, "prior_correction": self.prior_correction}
        return {name: value for name, value in given.items() if value}

    @field_validator("network")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        if name is not None:
            check_name(name, NETWORKS, "network")
        return name


class Variants(RootModel[dict[Name, Variant]]):
    """Variants by name; the first network is the one that others are compared with."""

    root: dict[Name, Variant] = Field(min_length=1)

    @model_validator(mode="after")
    def _ensembles_are_of_networks(self) -> "Variants":
        for name, variant in self.root.items():
            for field in ("ensemble", "of"):
                for member in getattr(variant, field) or ():
                    check_name(member, self.networks, f"{name}.{field}: network")
            if variant.best is not None and variant.best >= len(self.members(name)):
                raise ValueError(
                    f"{name}.best: {variant.best} of {len(self.networks)} networks is no choice; "
                    "lower it, or name an ensemble"
                )
        return self

    @property
    def networks(self) -> dict[str, Variant]:
        """Those that are trained."""
        return {name: variant for name, variant in self.root.items() if variant.network}

    @property
    def ensembles(self) -> dict[str, Variant]:
        """Those that are computed from predictions."""
        return {name: variant for name, variant in self.root.items() if not variant.network}

    def members(self, name: str) -> list[str]:
        """Give the networks that an ensemble combines or chooses from; of a network nothing."""
        variant = self.root[name]
        if variant.best is None:
            return variant.ensemble
        return [name for name in self.networks if variant.of is None or name in variant.of]

    def combinations(self) -> dict[str, tuple[list[str], str, int | None]]:
        """Say of each ensemble what it combines or chooses from, how, and how many it chooses."""
        return {
            name: (self.members(name), variant.combine, variant.best)
            for name, variant in self.ensembles.items()
        }

    @property
    def by_default(self) -> set[str]:
        """Names of those that wait for no request."""
        return {name for name, variant in self.root.items() if not variant.on_request}

    @property
    def restorers(self) -> set[str]:
        """Names of the restorers that some of them look through."""
        return {variant.restorer for variant in self.networks.values()} - {None}

    @property
    def detectors(self) -> set[str]:
        """Names of the detectors that cut views of some of them."""
        return {variant.detector for variant in self.networks.values()} - {None}

    def select(self, chosen: "Selection") -> "Variants":
        """Keep the chosen ones, and the members of chosen ensembles.

        An ensemble of the best chooses from those of its networks that are chosen; from all of them
        that wait for no request, or that it names, where these are too few.
        """
        names = {name for name in self.root if chosen.include(name)}
        if chosen.is_all:
            names &= self.by_default
        asked = {name: self.root[name] for name in self.root if name in names}
        for variant in asked.values():
            names |= {*variant.ensemble}
        lacking = set()
        for name, variant in asked.items():
            members = {*self.members(name)}
            if variant.best is not None and len(names & members) <= variant.best:
                lacking |= members if variant.of else members & self.by_default
        names |= lacking
        kept = {name: variant for name, variant in self.root.items() if name in names}
        return Variants.model_construct(root=kept)


class Selection(RootModel[list[str]]):
    """Names: a list, or text with ``+`` between; ``all`` for all."""

    root: list[str] = Field(min_length=1)

    _split_text = model_validator(mode="before")(split_text)

    @property
    def is_all(self) -> bool:
        """Whether nothing is named."""
        return self.root == ["all"]

    def include(self, name: str) -> bool:
        """Tell whether a name is among them."""
        return self.is_all or name in self.root


class ExperimentParameters(Options):
    """Networks on views, trained and scored.

    Parameters
    ----------
    views
        Chains of steps that make the networks' inputs.
    variants
        Networks and ensembles.
    train
        The schedule of all variants, as far as their stages do not override it.
    trainer
        Where networks are trained.
    score
        How scores are computed.
    """

    views: Views
    variants: Variants
    train: StageOptions
    trainer: TrainerOptions
    score: ScoreOptions

    @model_validator(mode="after")
    def _variants_fit(self) -> "ExperimentParameters":
        for name, variant in self.variants.networks.items():
            for view in variant.views.values():
                check_name(view, self.views.root, f"variants.{name}.views: view")
            try:
                stages = merge_stages(self.train, variant.stages)
            except ValueError as error:
                raise ValueError(f"variants.{name}.{error}") from None
            if variant.prior_correction:
                try:
                    refuse_corrections(["prior_correction", *corrections_of_head(stages)])
                except ValueError as error:
                    raise ValueError(f"variants.{name}: {error}") from None
        return self


class PaperParameters(ExperimentParameters):
    """What stands under the name of every paper.

    Parameters
    ----------
    views, variants, train, trainer, score
        See `ExperimentParameters`.
    paper
        Facts about the paper.
    shift
        What is done to the images of each part before views are made of them; null for nothing.
    restorers
        Networks that take degradations out of the images which variants look at.
    robustness
        How the networks are tested on degraded images.
    published
        What the paper prints, by variant and metric.
    printed
        What that is held against before it is reproduced.
    others
        What it prints of other people's methods.
    """

    paper: PaperOptions
    shift: ShiftOptions | None = None
    restorers: Restorers = Field(default_factory=Restorers)
    robustness: RobustnessOptions
    published: Published
    printed: PrintedOptions
    others: OtherMethods = Field(default_factory=lambda: OtherMethods({}))

    @property
    def split_detectors(self) -> list[str]:
        """Detectors that are trained for each split, by name; most papers have none."""
        return []

    @model_validator(mode="after")
    def _detectors_are_trained(self) -> "PaperParameters":
        for name, variant in self.variants.networks.items():
            if variant.detector is None:
                continue
            if not self.split_detectors:
                raise ValueError(
                    f"variants.{name}.detector: only localize trains detectors for each split; "
                    "crop by a step of the view"
                )
            check_name(
                variant.detector, self.split_detectors, f"variants.{name}.detector: detector"
            )
        for name in self.variants.ensembles:
            members = self.variants.members(name)
            if cut := [each for each in members if self.variants.root[each].detector is not None]:
                raise ValueError(
                    f"variants.{name}: {cut[0]} has a detector, and is not asked about degraded "
                    "images as ensembles are: leave it out by of or ensemble"
                )
        return self

    @model_validator(mode="after")
    def _methods_run_again_are_known(self) -> "PaperParameters":
        for name, method in self.others.root.items():
            if method.variant is not None:
                check_name(method.variant, self.variants.root, f"others.{name}.variant: variant")
        return self

    @model_validator(mode="after")
    def _restorers_are_known(self) -> "PaperParameters":
        for name, restorer in self.restorers.root.items():
            check_name(restorer.view, self.views.root, f"restorers.{name}.view: view")
        for name, variant in self.variants.networks.items():
            if variant.restorer is not None:
                check_name(
                    variant.restorer, self.restorers.root, f"variants.{name}.restorer: restorer"
                )
        return self


def weights_file(network: Options) -> Path | None:
    """Find what a network of YAML begins with; None for random weights.

    Parameters
    ----------
    network
        With ``weights`` and ``arguments``, such as a variant.

    Raises
    ------
    MissingWeightsError
        If they were asked for and cannot be had.
    """
    from wbc_pipeline.models.pretrained import find_weights

    if network.weights == "none":
        return None
    return find_weights(network.arguments["backbone"], network.weights)
