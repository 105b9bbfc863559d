"""Features of a frozen backbone, computed once and taken by row number."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


class FeatureCache:
    """Features of the validation part, and of one or several passes over the training part.

    Parameters
    ----------
    rows
        Row numbers of ``validation`` and ``train``, int64 [V] and [M], on the device.
    validation
        Features [V, F]; None where there is no such part.
    passes
        Features [M, F] of each pass, such as under another random augmentation.
    images
        Rows of all arrays.
    """

    def __init__(
        self,
        rows: Mapping[str, Tensor],
        *,
        validation: Tensor | None,
        passes: Sequence[Tensor],
        images: int,
    ):
        order = torch.cat([rows["validation"], rows["train"]])
        self._start = len(rows["validation"])
        self._length = len(rows["train"])
        self._passes = len(passes)
        self._place = torch.zeros(images, dtype=torch.int64, device=order.device)
        self._place[order] = torch.arange(len(order), device=order.device)
        self._features = torch.cat([*([] if validation is None else [validation]), *passes])

    def take(self, rows: Tensor, epoch: int) -> Tensor:
        """Take the features of some rows, [B, F]: of the training part those of the epoch's pass.

        Parameters
        ----------
        rows
            Of either part, int64 [B].
        epoch
            Its number within the stage.
        """
        place = self._place[rows]
        later = self._length * (epoch % self._passes)
        return self._features[place + later * (place >= self._start)]
