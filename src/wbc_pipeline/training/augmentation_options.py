"""What YAML may say about random changes of the training images."""

from typing import Self

from pydantic import Field, model_validator

from wbc_pipeline.options import Options


class AugmentationOptions(Options):
    """Random changes of the training images, the same for all views of an image.

    Each image draws its own amounts, uniformly between nothing and the largest change either way.
    0 or false switches a change off.

    Parameters
    ----------
    flip
        Mirror left-right and top-bottom, each with probability one half.
    rotation
        Largest rotation in degrees, either way.
    shift
        Largest shift as a share of the image side, each way.
    zoom
        Largest relative change of scale, such as 0.1 for 0.9 to 1.1.
    stain
        Largest relative change, and largest shift in decades of optical density, of haematoxylin,
        eosin and residual; 0.05 is the light and 0.2 the strong setting of Tellez et al. (2018).
    lab
        Largest relative change of the spread of L*, a* and b*, and largest shift of their means as
        a share of 100 units.
    hue
        Largest turn of the colour circle, as a share of the circle.
    saturation
        Largest relative change of saturation.
    contrast
        Largest relative change of the distance from the mean intensity.
    brightness
        Largest relative change of brightness.
    blur
        Largest standard deviation of a Gaussian blur, in pixels.
    noise
        Largest standard deviation of added Gaussian noise, as a share of the range.
    cutout
        Largest side of a square that is filled with the mean colour, as a share of the image side.
    cutmix
        Probability that an image gets a rectangle of another one, and a share of its label.
    cutmix_alpha
        Parameter of the symmetric beta distribution of the rectangle's area; 1 is uniform.
    mixup
        Probability that an image is averaged with another one, and so is its label; together with
        `cutmix` at most 1, as an image is mixed in one way.
    mixup_alpha
        Parameter of the symmetric beta distribution of the average's weight; small values leave
        one of the two images nearly as it is.
    """

    flip: bool = True
    rotation: float = Field(0.0, ge=0, le=180)
    shift: float = Field(0.0, ge=0, lt=1)
    zoom: float = Field(0.0, ge=0, lt=1)
    stain: float = Field(0.0, ge=0, lt=1)
    lab: float = Field(0.0, ge=0, lt=1)
    hue: float = Field(0.0, ge=0, le=0.5)
    saturation: float = Field(0.0, ge=0, le=1)
    contrast: float = Field(0.0, ge=0, lt=1)
    brightness: float = Field(0.0, ge=0, lt=1)
    blur: float = Field(0.0, ge=0, le=20)
    noise: float = Field(0.0, ge=0, lt=1)
    cutout: float = Field(0.0, ge=0, lt=1)
    cutmix: float = Field(0.0, ge=0, le=1)
    cutmix_alpha: float = Field(1.0, gt=0)
    mixup: float = Field(0.0, ge=0, le=1)
    mixup_alpha: float = Field(0.2, gt=0)

    @model_validator(mode="after")
    def _mix_in_one_way(self) -> Self:
        if self.cutmix + self.mixup > 1:
            raise ValueError(
                f"cutmix ({self.cutmix}) and mixup ({self.mixup}) are probabilities of two things "
                "of which an image undergoes one, and sum to more than 1; lower one of them."
            )
        return self
