"""What is done to the masks that a trained joint network predicts."""

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from wbc_pipeline.imaging.segment import fill_holes
from wbc_pipeline.models.joint import JointOutput
from wbc_pipeline.training.options import RefineOptions
from wbc_pipeline.training.turns import average_logits, turns

CENTRAL = 0.4  # standard deviation, in half sides, of how much a place counts
LEAST_NUCLEUS = 0.05  # a component without any nucleus counts too


class Refined(nn.Module):
    """A trained joint network whose outputs are refined; called as the network is.

    Parameters
    ----------
    network
        Takes square images, float [B, 3, S, S] per view; gives a `JointOutput`.
    options
        What is done.
    """

    task = "joint"

    def __init__(self, network: nn.Module, options: RefineOptions):
        super().__init__()
        self.network = network
        self.views = network.views
        self.options = options

    def forward(self, *views: Tensor) -> JointOutput:
        """Predict and refine."""
        output = average_turns(self.network, *views) if self.options.turns else self.network(*views)
        if not self.options.component or output.masks is None:
            return output
        masks = output.masks.sigmoid().cpu().float().numpy()
        kept = np.stack([keep_cell(mask, opening=self.options.opening) for mask in masks])
        is_kept = torch.from_numpy(kept).to(output.masks.device)
        # Logits stay logits: as sure as they were where the mask stays, else as sure of the other.
        sure = output.masks.abs().clamp(min=torch.finfo(output.masks.dtype).tiny)
        return output._replace(masks=torch.where(is_kept, sure, -sure))


def average_turns(network: nn.Module, *views: Tensor) -> JointOutput:
    """Average what a network finds in the eight flips and turns of square images.

    Probabilities are averaged, and given as logits; maps are turned back before.

    Parameters
    ----------
    network
        Gives a `JointOutput`.
    views
        Float [B, 3, S, S] each.
    """
    outputs = [(network(*map(turn, views)), back) for turn, back in turns()]
    classes = average_logits([output.logits for output, _ in outputs])
    first, _ = outputs[0]
    masks = saliency = None
    if first.masks is not None:
        masks = torch.stack([back(output.masks.sigmoid()) for output, back in outputs]).mean(0)
        masks = masks.logit(eps=torch.finfo(masks.dtype).eps)
    if first.saliency is not None:
        saliency = torch.stack([back(output.saliency) for output, back in outputs]).mean(0)
    return JointOutput(classes, masks, saliency)


def keep_cell(probabilities: np.ndarray, *, opening: float) -> np.ndarray:
    """Keep the component around the largest, most central nucleus, and fill holes of both.

    Parameters
    ----------
    probabilities
        Of cell and nucleus, float [2, H, W].
    opening
        Diameter of what may connect a cell with something else, which is cut off, as a share of
        the shorter side; 0 for nothing.

    Returns
    -------
    np.ndarray
        Boolean [2, H, W]: the cell, and the nucleus inside it. Without any component that outlasts
        the opening, nothing.
    """
    cell, nucleus = probabilities
    found = (cell > 0.5).astype(np.uint8)
    radius = round(opening * min(cell.shape) / 2)
    if radius:
        diameter = 2 * radius + 1  # an even one would shift what it keeps by a pixel
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
        found = cv2.morphologyEx(found, cv2.MORPH_OPEN, disc)
    number, parts = cv2.connectedComponents(found)
    if number == 1:
        return np.zeros(probabilities.shape, bool)
    down, across = (np.linspace(-1, 1, length) for length in cell.shape)
    central = np.exp(-(down[:, None] ** 2 + across**2) / (2 * CENTRAL**2))
    weights = ((nucleus + LEAST_NUCLEUS) * central).ravel()
    scores = np.bincount(parts.ravel(), weights=weights, minlength=number)
    kept = fill_holes((parts == 1 + scores[1:].argmax()).astype(np.uint8)) > 0
    inside = fill_holes((kept & (nucleus > 0.5)).astype(np.uint8)) > 0
    return np.stack([kept, inside])
