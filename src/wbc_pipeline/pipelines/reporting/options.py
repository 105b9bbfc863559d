"""Parameters of scores and of what a paper prints."""

from typing import Literal

from pydantic import Field, RootModel, model_validator

from wbc_pipeline.options import Options, check_name
from wbc_pipeline.pipelines.splitting.options import Protocol, Protocols

# A number; several where the paper prints several; text where trailing zeros count.
Printed = float | str | list[float | str]
Published = dict[str, dict[str, Printed]]


class ScoreOptions(Options):
    """How scores and their intervals are computed.

    Parameters
    ----------
    bins
        Equal-width confidence bins of the expected calibration error.
    resamples
        Bootstrap resamples, each of sources with all their images, for what is no function of the
        confusion matrix: AUC, log loss, ECE, differences.
    level
        Coverage of the intervals.
    """

    bins: int = Field(gt=1)
    resamples: int = Field(gt=0)
    level: float = Field(gt=0, lt=1)


class PaperOptions(Options):
    """What the report says of the paper.

    Parameters
    ----------
    title
        Title of the paper.
    protocol
        The protocol that the paper followed.
    classes
        How many classes the paper tells apart.
    datasets
        Data sets that the paper used: ``classes`` to learn from and, where it has another for that,
        ``boxes`` to find cells in. ``--env=paper`` takes these.
    protocols
        What ``--env=paper`` follows.
    notes
        Facts that a reader of the numbers should know.
    """

    title: str
    protocol: Protocol
    classes: int = Field(gt=1)
    datasets: dict[Literal["classes", "boxes"], str]
    protocols: Protocols
    notes: list[str] = Field(default_factory=list)


class TestedImages(Options):
    """What a paper can have tested; printed numbers are held against it.

    Parameters
    ----------
    what
        In words, for the report.
    images
        How many there can be.
    classes
        Instead, the images of each class.
    """

    what: str
    images: list[int] = Field(default_factory=list)
    classes: dict[str, int] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_how_many(self) -> "TestedImages":
        counts = [*self.images, *self.classes.values()]
        if bool(self.images) == bool(self.classes) or min(counts) < 1:
            raise ValueError("give either images, or classes with the images of each; 1 or more")
        return self


class PrintedMatrix(Options):
    """A confusion matrix in per cent, as printed.

    Parameters
    ----------
    table
        Where the paper prints it.
    classes
        In the order of its rows and columns.
    labels
        Along which of the two the true classes are.
    of_rows, of_columns, of_all
        Percentages of the total of each row, of each column, or of all images; null for a cell that
        is not known. Several where the paper prints several.
    """

    table: str
    classes: list[str]
    labels: Literal["rows", "columns"] = "rows"
    of_rows: list[list[float | str | None]] | None = None
    of_columns: list[list[float | str | None]] | None = None
    of_all: list[list[float | str | None]] | None = None

    @model_validator(mode="after")
    def _is_square(self) -> "PrintedMatrix":
        given = [table for table in (self.of_rows, self.of_columns, self.of_all) if table]
        size = len(self.classes)
        if not given or any(len(line) != size for table in given for line in (table, *table)):
            raise ValueError(
                f"give of_rows, of_columns or of_all, with {size} rows and columns as classes has"
            )
        return self


class PrintedParts(Options):
    """A printed table of the images in each part.

    Parameters
    ----------
    table
        Where the paper prints it.
    test_share
        The share of tested images that the paper names.
    train, test
        Images of each class.
    """

    table: str
    test_share: float | str
    train: dict[str, int]
    test: dict[str, int]


class PrintedOptions(Options):
    """What else is known of the numbers that a paper prints, to hold them against each other.

    Parameters
    ----------
    rounding
        Whether the paper's numbers are rounded, cut off, or may be either.
    tests
        What it can have tested.
    recalls
        Recall of each class as printed, by variant.
    matrices
        Confusion matrices in per cent, by variant.
    parts
        Images of each class in each part; null where the paper prints none.
    """

    rounding: Literal["nearest", "truncated", "any"] = "nearest"
    tests: list[TestedImages] = Field(default_factory=list)
    recalls: dict[str, dict[str, float | str]] = Field(default_factory=dict)
    matrices: dict[str, PrintedMatrix] = Field(default_factory=dict)
    parts: PrintedParts | None = None

    @model_validator(mode="after")
    def _knows_the_classes(self) -> "PrintedOptions":
        named = {f"recalls.{name}": [*printed] for name, printed in self.recalls.items()}
        named |= {f"matrices.{name}": matrix.classes for name, matrix in self.matrices.items()}
        for test in self.tests:
            for place, classes in named.items():
                for name in classes if test.classes else ():
                    check_name(name, test.classes, f"{place}: class")
        return self


class OtherMethod(Options):
    """What a paper prints of a method that it compares itself with, or of its own.

    Parameters
    ----------
    images
        Sample size.
    segmentation
        Whether the cell is cut out before it is classified.
    split
        How it was split, in words.
    accuracy
        As printed, from 0 to 1.
    variant
        Which of ours runs it again; null for none.
    """

    images: int | None = Field(None, gt=0)
    segmentation: bool | None = None
    split: str | None = None
    accuracy: Printed | None = None
    variant: str | None = None


class OtherMethods(RootModel[dict[str, OtherMethod]]):
    """A paper's table of other people's methods, by the names that it prints."""


class HypothesisOptions(Options):
    """A claim that one variant scores higher than another, and by how much.

    Parameters
    ----------
    claim
        In words.
    better, than
        The variants.
    metric
        Of ``wbc_pipeline.evaluation.scores.hypotheses``.
    classes
        Those whose recall ``mean_recall`` averages.
    margin
        The least gain, of a metric from 0 to 1.
    protocols
        Under which it is claimed, one of them at least.
    """

    claim: str
    better: str
    than: str
    metric: Literal["iou_cell", "macro_f1", "mean_recall"]
    classes: list[str] = Field(default_factory=list)
    margin: float = Field(ge=0, lt=1)
    protocols: list[Protocol] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_classes_of_a_mean(self) -> "HypothesisOptions":
        if bool(self.classes) != (self.metric == "mean_recall"):
            raise ValueError(
                "classes belong to the metric mean_recall: name them there, and nowhere else"
            )
        return self
