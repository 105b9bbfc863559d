"""What YAML may say about training; a name that is not here is refused before any work."""

from typing import Literal

from pydantic import Field

from wbc_pipeline.options import Options


class AugmentationOptions(Options):
    """Random changes of the training images, the same for all views of an image.

    Parameters
    ----------
    flip
        Mirror left-right and top-bottom, each with probability one half.
    rotation
        Largest turn in degrees, either way.
    shift
        Largest shift as a share of the image side, each way.
    zoom
        Largest change of scale, such as 0.1 for 0.9 to 1.1.
    brightness
        Largest relative change of brightness.
    noise
        Largest standard deviation of added Gaussian noise, as a share of the range.
    """

    flip: bool = True
    rotation: float = Field(0.0, ge=0, le=180)
    shift: float = Field(0.0, ge=0, lt=1)
    zoom: float = Field(0.0, ge=0, lt=1)
    brightness: float = Field(0.0, ge=0, lt=1)
    noise: float = Field(0.0, ge=0, lt=1)


class TrainOptions(Options):
    """The training schedule.

    Parameters
    ----------
    epochs
        Passes over the training images at the most.
    patience
        Epochs without a better validation loss after which training stops.
    min_steps
        Where the epochs would make fewer steps than this, as on a small set, epochs and patience
        are multiplied until they make as many.
    batch_size
        Images of one step, on one device.
    learning_rate
        Adam's learning rate; the highest, where it changes.
    schedule
        ``constant``, or ``one_cycle``: the rate rises at first and then falls to nearly nothing
        (Smith and Topin, 2018).
    label_smoothing
        Share of a label that is spread over all classes.
    augmentation
        Random changes of the training images; ``null`` for none.
    """

    epochs: int = Field(gt=0)
    patience: int = Field(gt=0)
    min_steps: int = Field(0, ge=0)
    batch_size: int = Field(gt=1)
    learning_rate: float = Field(gt=0)
    schedule: Literal["constant", "one_cycle"] = "constant"
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    augmentation: AugmentationOptions | None = None


class DetectionOptions(Options):
    """The training schedule of a detector; the weights are those of the last epoch.

    Parameters
    ----------
    epochs
        Passes over the training images.
    batch_size
        Images of one step, on one device.
    learning_rate
        Adam's learning rate; the highest, where it changes.
    schedule
        As in ``TrainOptions``.
    weight_decay
        What each step takes from a weight, as a share of it and of the rate (AdamW: Loshchilov
        and Hutter, 2019); 0 for plain Adam.
    flip
        Mirror left-right and top-bottom, each with probability one half.
    """

    epochs: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    schedule: Literal["constant", "one_cycle"] = "constant"
    weight_decay: float = Field(0.0, ge=0)
    flip: bool = True


class TrainerOptions(Options):
    """What is passed on to Lightning's ``Trainer``, and what a probe chooses for ``auto``.

    Parameters
    ----------
    devices, num_nodes, strategy
        As in Lightning: ``devices: 4`` trains on four GPUs of each of ``num_nodes`` machines.
    precision
        Lightning's name of a precision, or ``auto``: bfloat16 where a probe finds it faster.
    channels_last
        Memory layout of the images, or ``auto``: where a probe finds it faster.
    """

    devices: int = Field(1, gt=0)
    num_nodes: int = Field(1, gt=0)
    strategy: str = "auto"
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    channels_last: bool | Literal["auto"] = "auto"
