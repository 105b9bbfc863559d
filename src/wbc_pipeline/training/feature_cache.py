"""Features of a frozen backbone, computed once and taken by row number."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

_REMEMBERED = 4  # parts of a split whose features are kept in a process
_remembered: OrderedDict[str, Tensor] = OrderedDict()


def remember_features(
    compute: Callable[[], Tensor],
    *,
    network: nn.Module,
    arrays: Iterable[np.ndarray],
    rows: np.ndarray,
    context: str,
) -> Tensor:
    """Compute features, or take those that another training of this process has computed.

    Variants that differ in what their heads learn from look at the same features of the same
    images; without random changes these depend on nothing but what is digested here.

    Parameters
    ----------
    compute
        Gives the features, [M, F].
    network
        Its weights and statistics count, but not those of its ``head``.
    arrays
        What it sees, uint8 [N, H, W, 3] each; the content of the rows counts.
    rows
        Row numbers of the images, int [M].
    context
        What else counts: device, precision, layout in memory.

    Returns
    -------
    Tensor
        [M, F]; not to be modified.
    """
    known = hashlib.sha256(f"{type(network).__name__} {context}".encode())
    for name, weight in network.state_dict().items():
        if not name.startswith("head."):
            known.update(name.encode())
            known.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    for array in arrays:
        known.update(np.ascontiguousarray(array[rows]))
    key = known.hexdigest()
    if key not in _remembered:
        _remembered[key] = compute()
    _remembered.move_to_end(key)
    while len(_remembered) > _REMEMBERED:
        _remembered.popitem(last=False)
    return _remembered[key]


def forget_features() -> None:
    """Forget what `remember_features` has kept."""
    _remembered.clear()


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
