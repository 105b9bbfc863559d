"""Random changes of a whole batch at once, on the device that trains."""

import torch
from torch import Tensor
from torch.nn import functional

from wbc_pipeline.training.options import AugmentationOptions


def augment(views: list[Tensor], options: AugmentationOptions) -> list[Tensor]:
    """Turn, shift, scale, mirror, brighten and add noise to each image by its own random amount.

    All views of an image move and brighten alike, so a foreground stays on its cell; noise is drawn
    for each, of one deviation. What comes in from
    outside the image is its mirrored border.

    Parameters
    ----------
    views
        float tensors [B, 3, H, W] in 0…1, the views of the same B images.
    options
        The largest changes.

    Returns
    -------
    list of Tensor
        The changed views, in 0…1, same shapes and memory layout.
    """
    stacked = torch.cat(views, dim=1)  # [B, 3 * views, H, W]: one warp serves all views
    grid = functional.affine_grid(_transforms(stacked, options), stacked.shape, align_corners=False)
    warped = functional.grid_sample(
        stacked, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    changed = warped * (1 + options.brightness * _uniform(stacked)[:, None, None, None])
    if options.noise:
        deviation = options.noise * _uniform(stacked)[:, None, None, None]
        changed = changed + deviation * torch.randn_like(changed)
    layout = torch.channels_last if _is_channels_last(views[0]) else torch.contiguous_format
    return [
        view.contiguous(memory_format=layout)
        for view in changed.clamp_(0, 1).chunk(len(views), dim=1)
    ]


def _transforms(images: Tensor, options: AugmentationOptions) -> Tensor:  # [B, 2, 3]
    angle = torch.deg2rad(options.rotation * _uniform(images))
    scale = 1 + options.zoom * _uniform(images)
    mirror_x, mirror_y = (
        torch.sign(_uniform(images)) if options.flip else torch.ones(len(images)).to(images)
        for _ in range(2)
    )
    # A share of the side is twice that in the grid's coordinates, which run from -1 to 1.
    shift_x, shift_y = (2 * options.shift * _uniform(images) for _ in range(2))
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    rows = [cos * mirror_x, -sin * mirror_y, shift_x, sin * mirror_x, cos * mirror_y, shift_y]
    return torch.stack(rows, dim=1).view(-1, 2, 3)


def _uniform(images: Tensor) -> Tensor:  # [B], -1 to 1
    return torch.rand(len(images), device=images.device, dtype=images.dtype) * 2 - 1


def _is_channels_last(images: Tensor) -> bool:
    return images.is_contiguous(memory_format=torch.channels_last)
