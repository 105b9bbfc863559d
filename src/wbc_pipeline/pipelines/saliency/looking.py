"""What trained networks find and look at in single images."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from torch import nn

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result
from wbc_pipeline.evaluation.figures.attention import Attention
from wbc_pipeline.evaluation.figures.sheets import Outlines
from wbc_pipeline.evaluation.localization.grad_cam import grad_cam, share_inside
from wbc_pipeline.imaging.masks import region_mask
from wbc_pipeline.models import load_network
from wbc_pipeline.pipelines.experiment.options import Variants
from wbc_pipeline.pipelines.experiment.runs import views_of
from wbc_pipeline.training.maps import predict_maps

NETWORKS = 2  # held in memory: rows of one network come together


class Looker:
    """Looks through the networks of a paper; a row of the predictions says which, and at what.

    Parameters
    ----------
    images
        The manifest's ``ok`` rows, in the order of the arrays.
    views
        Of the paper, by name.
    trainings
        By variant and run.
    variants
        Of the paper.
    """

    def __init__(
        self,
        images: pd.DataFrame,
        views: Mapping[str, ImageArray],
        trainings: Mapping[str, Result],
        variants: Variants,
    ):
        self.views, self.trainings, self.variants = views, trainings, variants
        self.row_of = pd.Series(np.arange(len(images)), index=images["image_id"])
        self.network = lru_cache(NETWORKS)(self._load)

    def _load(self, training: str) -> nn.Module:
        network, _ = load_network(self.trainings[training].folder)
        return network

    def arrays(self, training: str) -> list[ImageArray]:
        """Give the views of a network in its order."""
        variant = self.variants.root[training.partition("/")[0]]
        seen = views_of(variant, self.views)
        return [seen[name] for name in self.network(training).views]

    def shares_inside(self, training: str, image_ids: pd.Series) -> tuple[np.ndarray, np.ndarray]:
        """Explain the answers for some images.

        Parameters
        ----------
        training
            ``<variant>/<run>``.
        image_ids
            Of N images.

        Returns
        -------
        maps : array of float32, shape [N, H, W]
            Grad-CAM; all 0 if the network names no layer.
        inside : array of float, shape [N]
            Its share inside the cell; NaN where it is not known.
        """
        rows, arrays = self.row_of[image_ids].to_numpy(), self.arrays(training)
        network, masks = self.network(training), arrays[0].masks
        if not hasattr(network, "cam_layer"):
            shape = (len(rows), *arrays[0].pixels.shape[1:3])
            return np.zeros(shape, np.float32), np.full(len(rows), np.nan)
        maps = grad_cam(network, [array.pixels[rows] for array in arrays])
        unknown = np.full(len(rows), np.nan)
        return maps, unknown if masks is None else share_inside(maps, masks[rows])

    def outlines(self, row: pd.Series) -> Outlines:
        """Give an image with the annotated and the predicted cell."""
        found = self._maps(row)["masks"][0, ..., 0]
        return Outlines(self._pixels(row), self._cell(row), found)

    def attention(self, row: pd.Series) -> Attention:
        """Give an image with the network's saliency map and Grad-CAM."""
        (cam,), (inside,) = self.shares_inside(row["training"], pd.Series([row["image_id"]]))
        saliency = self._maps(row).get("saliency", [None])[0]
        has_cam = hasattr(self.network(row["training"]), "cam_layer")
        return Attention(
            self._pixels(row), self._cell(row), saliency, cam if has_cam else None, inside
        )

    def _maps(self, row: pd.Series) -> dict[str, np.ndarray]:
        arrays = [array.pixels for array in self.arrays(row["training"])]
        rows, place = [self.row_of[row["image_id"]]], torch.device("cpu")
        return predict_maps(self.network(row["training"]), arrays, rows, device=place)

    def _pixels(self, row: pd.Series) -> np.ndarray:
        return self.views["image"].pixels[self.row_of[row["image_id"]]]

    def _cell(self, row: pd.Series) -> np.ndarray:
        masks, place = self.views["image"].masks, self.row_of[row["image_id"]]
        if masks is None:
            return np.zeros(self.views["image"].pixels.shape[1:3], np.uint8)
        return region_mask(masks[place], "cell")
