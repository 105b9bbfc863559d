"""The blend paper's failed attempt: Canny's thresholds and sigma trained by finite differences."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from wbc_pipeline.imaging.edges import canny_mask
from wbc_pipeline.models.blend_cnn import BlendCNN

# What one unit of the trained numbers means, so that one learning rate and one finite
# difference suit a threshold of the edge strength and a blur in pixels alike.
UNITS = {"low": 100.0, "high": 100.0, "sigma": 1.0}
SMALLEST = {"low": 1.0, "high": 2.0, "sigma": 0.1}


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor()


def segment_batch(image: Tensor, **canny) -> Tensor:
    """Run :func:`~wbc_pipeline.imaging.edges.canny_mask` on a batch, in threads.

    Parameters
    ----------
    image
        float [B, 3, H, W], RGB in 0…1.
    canny
        Arguments of ``canny_mask``.

    Returns
    -------
    Tensor
        float [B, 1, H, W], 1 inside the cell and 0 outside, on the image's device.
    """
    pixels = (image.detach().float() * 255).round().clamp(0, 255).byte()
    pixels = np.ascontiguousarray(pixels.permute(0, 2, 3, 1).cpu().numpy())  # [B, H, W, 3]
    masks = list(_threads().map(lambda one: canny_mask(one, **canny), pixels))
    return torch.from_numpy(np.stack(masks)).to(image.device)[:, None].to(image.dtype) / 255


class _FiniteDifferenceMask(torch.autograd.Function):
    """A mask whose gradient by Canny's numbers is a central difference.

    The chain rule splits there: autograd gives the loss by the mask, two further
    segmentations a number give the mask by that number. No further pass of the network.
    """

    @staticmethod
    def forward(ctx, image: Tensor, numbers: Tensor, segment: Callable, step: float) -> Tensor:
        ctx.save_for_backward(image, numbers)
        ctx.segment, ctx.step = segment, step
        return segment(image, numbers)

    @staticmethod
    def backward(ctx, by_mask: Tensor):
        image, numbers = ctx.saved_tensors
        by_number = torch.zeros_like(numbers)
        for index in range(len(numbers)):
            shift = torch.zeros_like(numbers)
            shift[index] = ctx.step
            change = ctx.segment(image, numbers + shift) - ctx.segment(image, numbers - shift)
            by_number[index] = (by_mask * change).sum() / (2 * ctx.step)
        return None, by_number, None, None


class LearnableCannyCNN(BlendCNN):
    """Blend CNN that trains the low threshold, the high threshold and the blur of its Canny.

    A mask is a step function of these numbers, so its finite difference is zero almost
    everywhere and huge where a contour opens or closes: the instability that the paper
    reports. The segmentation runs inside the training loop, as the idea demands: this is
    the one network here that cannot have its foreground computed beforehand.

    Parameters
    ----------
    classes, image_size, alpha, cnn
        As in :class:`~wbc_pipeline.models.blend_cnn.BlendCNN`.
    canny
        Arguments of ``canny_mask``; ``low``, ``high`` and ``sigma`` are where training starts.
    step
        Half width of the central difference: in hundreds for thresholds, in pixels for ``sigma``.
    """

    views = ("image",)

    def __init__(
        self,
        *,
        classes: int,
        image_size: int,
        canny: dict,
        alpha: float = 0.5,
        step: float = 0.1,
        **cnn,
    ):
        super().__init__(classes=classes, image_size=image_size, alpha=alpha, **cnn)
        self.numbers = nn.Parameter(
            torch.tensor([canny[name] / unit for name, unit in UNITS.items()])
        )
        self.step = step
        self.fixed = {name: value for name, value in canny.items() if name not in UNITS}

    def _segment(self, image: Tensor, numbers: Tensor) -> Tensor:
        return segment_batch(image, **self._in_units(numbers), **self.fixed)

    def _in_units(self, numbers: Tensor) -> dict[str, float]:
        values = {
            name: max(number.item() * unit, SMALLEST[name])
            for number, (name, unit) in zip(numbers, UNITS.items(), strict=True)
        }
        return {**values, "high": max(values["high"], values["low"])}

    def foreground(self, image: Tensor) -> Tensor:  # [B, 3, H, W]
        """Multiply the image by its mask; the result has its shape."""
        return image * _FiniteDifferenceMask.apply(image, self.numbers, self._segment, self.step)

    def blend(self, image: Tensor) -> Tensor:  # [B, 3, H, W]
        """Mix the image with its own foreground; the result has its shape."""
        return super().blend(image, self.foreground(image))

    def tracked(self) -> dict[str, Tensor]:
        """Give alpha, Canny's numbers and the latest finite-difference gradients."""
        numbers = {
            name: torch.tensor(value) for name, value in self._in_units(self.numbers).items()
        }
        gradients = torch.zeros(len(UNITS)) if self.numbers.grad is None else self.numbers.grad
        by_name = {
            f"gradient_{name}": gradient.detach() / unit
            for gradient, (name, unit) in zip(gradients, UNITS.items(), strict=True)
        }
        return super().tracked() | numbers | by_name
