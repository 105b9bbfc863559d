"""Macro F1 as the report has it, while a network trains."""

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassF1Score


class MacroF1(MulticlassF1Score):
    """Mean of F1 over the classes that some image is labelled with.

    Of a class without images nothing is known, which torchmetrics' macro average takes for an F1 of
    0 once the class is answered. With images of every class both are the same.

    Parameters
    ----------
    classes
        How many there are.

    Examples
    --------
    >>> answers, labels = torch.tensor([0, 1, 2, 1]), torch.tensor([0, 1, 1, 1])
    >>> round(float(MacroF1(3)(answers, labels)), 3)  # of 1 and 0.8
    0.9
    """

    def __init__(self, classes: int):
        super().__init__(num_classes=classes, average="none", validate_args=False)

    def compute(self) -> Tensor:
        """Average; 0 without any image."""
        of_class, is_known = super().compute(), self.tp + self.fn > 0  # [C] each
        return torch.where(is_known, of_class, 0).sum() / is_known.sum().clamp(min=1)
