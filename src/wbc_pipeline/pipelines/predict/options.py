"""Parameters of predictions for images of users."""

from typing import Literal

from pydantic import Field, field_validator

from wbc_pipeline.options import Options, split_text

# What speaks against an answer.
NO_CELL, UNLIKE, ABSTAINS = "no cell found", "unlike the training data", "abstains"


class ConfidenceOptions(Options):
    """What is fitted beside every training, on parts of its own split.

    Parameters
    ----------
    images
        Of the training part, and of the validation part, at most; evenly from each class.
    typical
        Share of the validation part that counts as like the training data.
    answered
        Share of the validation part that is answered: the most confident.
    """

    images: int = Field(gt=1)
    typical: float = Field(gt=0, le=1)
    answered: float = Field(gt=0, le=1)


class PredictOptions(Options):
    """How a model is asked.

    Parameters
    ----------
    framing
        What is an image of its own to the model. ``whole``: each file as it is. ``cells``: each
        cell that is found, cut out with as much around it as cells had in training. ``auto``: the
        file as it is where it shows one cell at about the size of those in training, else cells.
    overlays
        For how many files an overlay is drawn, the first ones; null for all.
    grad_cam
        Whether overlays show where the network looks.
    tiles
        Cells of each class on the contact sheet, drawn at random.
    workers
        Threads; null for one per core.
    portable
        A folder to copy the model to, with all that it needs to answer on another machine; null for
        none.
    others
        Of the pipeline ``likeness``: images that are unlike the training data; as text with ``+``
        between.
    confidence
        What is fitted beside every training.
    """

    framing: Literal["auto", "whole", "cells"]
    overlays: int | None = Field(ge=0)
    grad_cam: bool
    tiles: int = Field(gt=0)
    workers: int | None = Field(gt=0)
    portable: str | None
    others: list[str]
    confidence: ConfidenceOptions

    _split_others = field_validator("others", mode="before")(split_text)
