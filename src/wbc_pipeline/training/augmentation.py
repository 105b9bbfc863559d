"""Random changes of a whole batch at once, on the device that trains.

torchvision's functional transforms take one amount for a whole batch. Here each image has its own,
so the formulas are written out.
"""

import numpy as np
import torch
from skimage.color import rgb_from_hed
from skimage.color.colorconv import xyz_from_rgb, xyz_tristimulus_values
from torch import Tensor
from torch.distributions import Beta
from torch.nn import functional

from wbc_pipeline.training.augmentation_options import AugmentationOptions

_DARKEST = 1e-3  # intensity of the highest optical density, as black has no logarithm

# Each maps a column of three channels to another colour space.
_OD_FROM_HED = rgb_from_hed.T  # optical density of R, G, B; haematoxylin, eosin, residual
_XYZ_FROM_RGB = xyz_from_rgb / xyz_tristimulus_values(illuminant="D65", observer="2")[:, None]


def augment(views: list[Tensor], options: AugmentationOptions) -> list[Tensor]:
    """Move, recolour, blur, add noise to and cut out of each image by its own random amount.

    All views of an image change alike, so a foreground stays on its cell and keeps its colours;
    noise alone is independent, same sigma. The image's mirrored border fills what comes in from
    outside. Changes follow in the order of the fields of `options`. A change that is off draws no
    random numbers, but for rotation, shift, zoom and brightness.

    Parameters
    ----------
    views
        Float tensors [B, 3, H, W] in 0…1, the views of the same B images.
    options
        The largest changes. CutMix and MixUp need labels: see `mix`.

    Returns
    -------
    list of Tensor
        The changed views in 0…1, of the same shapes, dtype and memory layout.

    References
    ----------
    Stain: A. Ruifrok and D. Johnston, "Quantification of histochemical staining by color
    deconvolution", 2001; D. Tellez et al., "Whole-slide mitosis detection in H&E breast histology
    using PHH3 as a reference to train distilled stain-invariant convolutional networks", IEEE TMI
    37(9), 2018. L*a*b*: E. Reinhard et al., "Color transfer between images", 2001, and its random
    form in Y. Shen et al., "RandStainNA", MICCAI 2022. Cutout: T. DeVries and G. Taylor, "Improved
    regularization of convolutional neural networks with cutout", 2017.
    """
    return _augment(views, None, options)[0]


def augment_some(views: list[Tensor], chosen: Tensor, options: AugmentationOptions) -> list[Tensor]:
    """Augment some images of a batch and leave the others as they are.

    Parameters
    ----------
    views, options
        As for `augment`.
    chosen
        Which images change, bool [B].

    Returns
    -------
    list of Tensor
        As of `augment`.
    """
    rows = chosen.nonzero().squeeze(1)
    if not len(rows):
        return views
    changed = augment([view[rows] for view in views], options)
    return [
        view.clone().index_copy_(0, rows, part) for view, part in zip(views, changed, strict=True)
    ]


def augment_with_masks(
    views: list[Tensor], masks: Tensor, options: AugmentationOptions
) -> tuple[list[Tensor], Tensor]:
    """Augment views, and move masks with them.

    Parameters
    ----------
    views, options
        As for `augment`, which changes the views in the same way from the same seed.
    masks
        Regions, uint8 [B, H, W], resampled by nearest neighbour. Cutout leaves them: a region is
        still there where it cannot be seen.

    Returns
    -------
    tuple
        The changed views, and the masks, uint8 [B, H, W].
    """
    return _augment(views, masks, options)


def flip_with_targets(
    images: Tensor, boxes: Tensor, masks: Tensor | None, counts: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Mirror images with their boxes and instance masks left-right and top-bottom at random.

    Parameters
    ----------
    images
        Float [B, 3, H, W].
    boxes
        Float [K, 4]: xmin, ymin, xmax, ymax in pixels, the boxes of the images in turn.
    masks
        uint8 [K, H, W], one per box, or None.
    counts
        Boxes of each image, int64 [B], summing to K.

    Returns
    -------
    tuple
        Images, boxes and masks, of the same shapes. Each image is mirrored along each axis with
        probability one half.
    """
    for axis, low, high in ((-1, 0, 2), (-2, 1, 3)):  # left and right, top and bottom
        flipped = torch.rand(len(images), device=images.device) < 0.5
        of_box = flipped.repeat_interleave(counts)
        images = torch.where(flipped[:, None, None, None], images.flip(axis), images)
        mirrored = boxes.clone()
        mirrored[:, [low, high]] = images.shape[axis] - boxes[:, [high, low]]
        boxes = torch.where(of_box[:, None], mirrored, boxes)
        if masks is not None:
            masks = torch.where(of_box[:, None, None], masks.flip(axis), masks)
    return images, boxes, masks


def mix(
    views: list[Tensor], targets: Tensor, options: AugmentationOptions
) -> tuple[list[Tensor], Tensor]:
    """Mix each image with its neighbour in the batch by CutMix, by MixUp or not at all.

    Parameters
    ----------
    views
        Float tensors [B, 3, H, W], the views of the same B images. All mix alike.
    targets
        Probabilities of the classes, such as one-hot labels, float [B, classes].
    options
        ``cutmix`` and ``mixup`` are the shares of images that are mixed in these ways. With both 0
        nothing is drawn or changed.

    Returns
    -------
    tuple
        Views of the same shapes, dtype and memory layout, and targets whose share of the neighbour
        is the share of its pixels: the area of CutMix's rectangle, MixUp's weight.

    References
    ----------
    S. Yun et al., "CutMix: regularization strategy to train strong classifiers with localizable
    features", ICCV 2019. H. Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018.
    """
    if not (options.cutmix or options.mixup):
        return views, targets
    first = views[0]
    weight = torch.zeros_like(first[:, :1], dtype=torch.float32)  # [B, 1, H, W], of the neighbour
    drawn = torch.rand(len(first), 1, 1, 1, device=first.device)
    if options.cutmix:
        pasted = _rectangles(first, _beta(first, options.cutmix_alpha).sqrt())
        weight = torch.where(drawn < options.cutmix, pasted.float(), weight)
    if options.mixup:
        chosen = (drawn >= options.cutmix) & (drawn < options.cutmix + options.mixup)
        weight = torch.where(chosen, _beta(first, options.mixup_alpha), weight)
    mixed = [
        _stored_as(view, torch.lerp(view, view.roll(1, 0), weight.to(view.dtype))) for view in views
    ]
    share = weight.mean(dim=(1, 2, 3)).to(targets.dtype)
    return mixed, torch.lerp(targets, targets.roll(1, 0), share[:, None])


def _augment(
    views: list[Tensor], masks: Tensor | None, options: AugmentationOptions
) -> tuple[list[Tensor], Tensor | None]:
    stacked = torch.cat(views, dim=1).float()  # [B, 3 * views, H, W]: one warp serves all views
    # A reduced precision that suits a network is too coarse for places and colours.
    with torch.autocast(stacked.device.type, enabled=False):
        moves = _transforms(stacked, options)
        grid = functional.affine_grid(moves, stacked.shape, align_corners=False)
        changed = _warp(stacked, grid, "bilinear")
        if masks is not None:
            masks = _warp(masks[:, None].float(), grid, "nearest")[:, 0].to(masks.dtype)
        changed = _recolour(changed.unflatten(1, (-1, 3)), options).flatten(1, 2)
        changed = changed * _factors(changed, options.brightness, 1, 1, 1)
        if options.blur:
            changed = _blur(changed, options.blur * _uniform(changed, 1, 1, 1).abs())
    if options.noise:
        sigma = options.noise * _uniform(changed, 1, 1, 1)
        changed = changed + sigma * torch.randn_like(changed)
    changed.clamp_(0, 1)
    if options.cutout:
        squares = _rectangles(changed, options.cutout * _uniform(changed, 1, 1, 1).abs())
        changed = torch.where(squares, changed.mean(dim=(2, 3), keepdim=True), changed)
    parts = changed.chunk(len(views), dim=1)
    return [_stored_as(view, part) for view, part in zip(views, parts, strict=True)], masks


def _transforms(images: Tensor, options: AugmentationOptions) -> Tensor:  # [B, 2, 3]
    angle = torch.deg2rad(options.rotation * _uniform(images))
    scale = _factors(images, options.zoom)
    mirror_x, mirror_y = (
        torch.where(_uniform(images) < 0, -1.0, 1.0) if options.flip else 1.0 for _ in range(2)
    )
    # A share of the side is twice that in the grid's coordinates, which run from -1 to 1.
    shift_x, shift_y = (2 * options.shift * _uniform(images) for _ in range(2))
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    rows = [cos * mirror_x, -sin * mirror_y, shift_x, sin * mirror_x, cos * mirror_y, shift_y]
    return torch.stack(rows, dim=1).view(-1, 2, 3)


def _warp(images: Tensor, grid: Tensor, mode: str) -> Tensor:
    return functional.grid_sample(
        images, grid, mode=mode, padding_mode="reflection", align_corners=False
    )


def _recolour(images: Tensor, options: AugmentationOptions) -> Tensor:  # [B, views, 3, H, W]
    if options.stain:
        images = _jitter_stain(images, options.stain)
    if options.lab:
        images = _jitter_lab(images, options.lab)
    if options.hue or options.saturation:
        images = _jitter_hue_and_saturation(images, options)
    if options.contrast:
        mean = _mean_of_first_view(images).mean(dim=2, keepdim=True)
        images = mean + (images - mean) * _factors(images, options.contrast, 1, 1, 1, 1)
    return images


def _jitter_stain(images: Tensor, amount: float) -> Tensor:
    """Scale and shift the density of each stain.

    With optical density -log10(image) = M @ c, each stain's c becomes a * c + b. The change of c
    is made a factor on the image, so that black stays black and no change is exactly that.
    """
    density = -images.clamp(min=_DARKEST).log10()
    stains = _in_colour_space(density, np.linalg.inv(_OD_FROM_HED))
    change = amount * (stains * _uniform(images, 1, 3, 1, 1) + _uniform(images, 1, 3, 1, 1))
    transmitted = torch.exp(-np.log(10) * _in_colour_space(change, _OD_FROM_HED))
    return (images * transmitted).clamp(max=1)


def _jitter_lab(images: Tensor, amount: float) -> Tensor:
    """Scale L*, a* and b* about their means, and shift these."""
    lab = _rgb_to_lab(images.contiguous())  # strides would double the time
    mean = _mean_of_first_view(lab)
    factors = _factors(images, amount, 1, 3, 1, 1)
    shifts = 100 * amount * _uniform(images, 1, 3, 1, 1)
    return _lab_to_rgb(mean + shifts + factors * (lab - mean))


def _jitter_hue_and_saturation(images: Tensor, options: AugmentationOptions) -> Tensor:
    """Turn each colour about the axis of greys, and scale its distance from this axis.

    Both are one matrix (Rodrigues' formula), as in T. Karras et al., "Training generative
    adversarial networks with limited data", NeurIPS 2020; the mean of R, G and B stays.
    """
    angle = 2 * torch.pi * options.hue * _uniform(images, 1, 1, 1)
    saturation = _factors(images, options.saturation, 1, 1, 1)
    along = images.new_full((3, 3), 1 / 3)
    across = torch.eye(3).to(images) - along
    turned = images.new_tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / 3**0.5
    matrix = along + saturation * (across * torch.cos(angle) + turned * torch.sin(angle))
    return _times(matrix, images)


def _blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur by Gaussians cut off at the borders, as a product with one matrix for each side."""
    for _ in range(2):
        place = torch.arange(images.shape[-2], device=images.device, dtype=images.dtype)
        distance = (place[:, None] - place) / sigma.clamp(min=1e-3)
        weights = torch.softmax(-(distance**2) / 2, dim=-1)  # [B, 1, H, H]
        images = (weights @ images).mT
    return images


def _rgb_to_lab(images: Tensor) -> Tensor:  # sRGB in 0…1 to CIE 1976 L*a*b* of daylight D65
    linear = torch.where(images > 0.04045, ((images + 0.055) / 1.055) ** 2.4, images / 12.92)
    xyz = _in_colour_space(linear, _XYZ_FROM_RGB)
    root = torch.where(xyz > (6 / 29) ** 3, xyz ** (1 / 3), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = root.unbind(2)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=2)


def _lab_to_rgb(lab: Tensor) -> Tensor:
    lightness, a, b = lab.unbind(2)
    y = (lightness + 16) / 116
    root = torch.stack([y + a / 500, y, y - b / 200], dim=2)
    xyz = torch.where(root > 6 / 29, root**3, 3 * (6 / 29) ** 2 * (root - 4 / 29))
    linear = _in_colour_space(xyz, np.linalg.inv(_XYZ_FROM_RGB)).clamp(0, 1)
    return torch.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)


def _in_colour_space(images: Tensor, matrix: np.ndarray) -> Tensor:  # [B, views, 3, H, W], [3, 3]
    return _times(images.new_tensor(matrix), images)


def _times(matrix: Tensor, images: Tensor) -> Tensor:  # [3, 3] or [B, 1, 3, 3]
    return (matrix @ images.flatten(3)).view_as(images)


def _mean_of_first_view(images: Tensor) -> Tensor:  # [B, 1, 3, 1, 1]: views must change alike
    return images[:, :1].mean(dim=(3, 4), keepdim=True)


def _rectangles(images: Tensor, side: Tensor) -> Tensor:  # side [B, 1, 1, 1], a share of each side
    """Boxes [B, 1, H, W] about random points, cut at the borders."""
    rows, columns = (
        (torch.arange(length, device=images.device) + 0.5) / length for length in images.shape[-2:]
    )
    inside_rows, inside_columns = (
        (place - torch.rand_like(side)).abs() < side / 2 for place in (rows[:, None], columns)
    )
    return inside_rows & inside_columns


def _beta(images: Tensor, alpha: float) -> Tensor:  # [B, 1, 1, 1]
    parameter = torch.full((len(images), 1, 1, 1), alpha, device=images.device)
    return Beta(parameter, parameter, validate_args=False).sample()  # a check would wait for a GPU


def _factors(images: Tensor, amount: float, *shape: int) -> Tensor:  # [B, *shape], about 1
    return 1 + amount * _uniform(images, *shape)


def _uniform(images: Tensor, *shape: int) -> Tensor:  # [B, *shape], -1 to 1
    return torch.rand(len(images), *shape, device=images.device, dtype=images.dtype) * 2 - 1


def _stored_as(view: Tensor, changed: Tensor) -> Tensor:
    is_channels_last = view.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if is_channels_last else torch.contiguous_format
    return changed.to(view.dtype).contiguous(memory_format=layout)
