"""Where networks look: Grad-CAM, and how much of it lies inside the cell."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.swin_transformer import SwinTransformerBlock

from wbc_pipeline.imaging.masks import CELL, REGIONS, UNKNOWN


class _Logits(nn.Module):
    """A network of several views as one of a single input, and of one output."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, views: Tensor) -> Tensor:  # [B, 3 a view, H, W]
        output = self.network(*views.split(3, dim=1))
        return getattr(output, "logits", output)  # [B, classes]


@torch.inference_mode(mode=False)
@torch.enable_grad()
def grad_cam(
    network: nn.Module,
    arrays: Sequence[np.ndarray],
    *,
    layer: str | None = None,
    labels: Sequence[int] | None = None,
    batch_size: int = 32,
) -> np.ndarray:
    """Map which places of an image speak for a class.

    Parameters
    ----------
    network
        Gives logits or a ``models.joint.JointOutput``; it stays as it is.
    arrays
        uint8 ``[N, H, W, 3]``, RGB, one for each of ``network.views``.
    layer
        Name of a part on the way to the class whose output is a map ``[B, C, h, w]``, or of one
        of torchvision's Swin blocks, which have the channels last. None: the network's
        ``cam_layer``.
    labels
        The class to explain for each image; None: the one that the network predicts.
    batch_size
        Images at a time.

    Returns
    -------
    np.ndarray
        float32 ``[N, H, W]``, 0 to 1 in each image; all 0 where nothing speaks for the class.

    Raises
    ------
    ValueError
        If the network has no such part (the message names its parts), or the class does not
        depend on it.

    References
    ----------
    R. R. Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based
    localization", ICCV 2017.
    """
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    probe = copy.deepcopy(network).eval().requires_grad_(False)
    name = layer or getattr(probe, "cam_layer", "")
    part = _find_part(probe, name)
    part.register_forward_hook(_begin_gradient)
    has_channels_last = isinstance(part, SwinTransformerBlock)
    explain = GradCAM(_Logits(probe), [part], _channels_first if has_channels_last else None)
    maps = [np.empty((0, *arrays[0].shape[1:3]), np.float32)]
    for start in range(0, len(arrays[0]), batch_size):
        rows = slice(start, start + batch_size)
        views = np.concatenate([array[rows] for array in arrays], axis=-1)
        pixels = torch.from_numpy(views).permute(0, 3, 1, 2).float().div(255)
        targets = None if labels is None else [ClassifierOutputTarget(k) for k in labels[rows]]
        try:
            maps.append(explain(pixels, targets))
        except (AttributeError, RuntimeError) as error:
            is_other = isinstance(error, RuntimeError) and "grad" not in str(error)  # as of memory
            if is_other or explain.activations_and_grads.gradients:
                raise
            raise ValueError(
                f"The class of {type(network).__name__} does not depend on the layer {name!r}; "
                "set layer to one on the way to it."
            ) from error
    return np.concatenate(maps).astype(np.float32)


def share_inside(maps: np.ndarray, masks: np.ndarray, *, region: str = "cell") -> np.ndarray:
    """Measure how much of each map's sum lies inside a region.

    Parameters
    ----------
    maps
        float ``[N, H, W]``, at least 0, such as of `grad_cam`.
    masks
        uint8 ``[N, H, W]``, see ``imaging.masks``. Pixels that are not known don't count.
    region
        A key of ``imaging.masks.REGIONS``.

    Returns
    -------
    np.ndarray
        float64 ``[N]``, 0 to 1; NaN where the mask does not show the region, or the map is all 0.

    Raises
    ------
    ValueError
        If maps and masks differ in shape.

    Examples
    --------
    >>> maps = np.float32([[[3, 1]], [[3, 1]], [[0, 0]]])
    >>> share_inside(maps, np.uint8([[[1, 0]], [[255, 255]], [[1, 0]]])).tolist()
    [0.75, nan, nan]
    """
    if maps.shape != masks.shape:
        raise ValueError(
            f"maps of shape {maps.shape} for masks of {masks.shape}; resize one to the other."
        )
    lowest, highest = REGIONS[region]
    inside = (masks >= lowest) & (masks <= highest)
    is_known = masks != UNKNOWN
    if region == "nucleus":
        is_known &= masks != CELL  # a cell whose parts are not known
    total = np.sum(maps, axis=(1, 2), where=is_known, dtype=float)
    share = np.sum(maps, axis=(1, 2), where=inside, dtype=float)
    can_tell = inside.any(axis=(1, 2)) & (total > 0)
    return np.divide(share, total, out=np.full(len(maps), np.nan), where=can_tell)


def _begin_gradient(part: nn.Module, given: tuple, output: Tensor) -> Tensor:
    """Let the gradient end here: what lies before the part would cost the most, for nothing."""
    return output.detach().requires_grad_().clone()


def _channels_first(tokens: Tensor) -> Tensor:  # [B, H, W, C]
    return tokens.permute(0, 3, 1, 2)  # [B, C, H, W]


def _find_part(network: nn.Module, name: str) -> nn.Module:
    parts = dict(network.named_modules())
    if not name or name not in parts:
        raise ValueError(
            f"{type(network).__name__} has no layer {name!r}; its layers are "
            f"{', '.join(filter(None, parts))}. Set layer to one whose output is a map."
        )
    return parts[name]
