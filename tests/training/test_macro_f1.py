"""Macro F1 of the validation part."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch import nn
from torchmetrics.classification import MulticlassF1Score

from wbc_pipeline.evaluation.scores.confusion import macro_f1
from wbc_pipeline.models.nearest_neighbours import NearestNeighbours
from wbc_pipeline.training.macro_f1 import MacroF1
from wbc_pipeline.training.remember import remember
from wbc_pipeline.training.tasks.classification import ClassificationTask

LABELS = torch.tensor([0, 1, 1, 3, 3, 0, 1, 3])  # no image of class 2
ANSWERS = torch.tensor([0, 1, 2, 3, 2, 0, 1, 3])


class Nearest(nn.Module):
    """Answers as the remembered image that looks most alike."""

    views = ("image",)

    def __init__(self):
        super().__init__()
        self.head = NearestNeighbours(4, classes=4, neighbours=1)

    def features(self, images):
        return images.flatten(1)

    def forward(self, images):
        return self.head(self.features(images))


def reported(answers, labels, classes):
    confusion = np.zeros((classes, classes))
    np.add.at(confusion, (labels, answers), 1)
    return macro_f1(confusion)


def test_a_class_without_images_counts_as_little_as_in_the_report():
    metric = MacroF1(4)
    for part in (slice(0, 3), slice(3, 8)):
        metric.update(ANSWERS[part], LABELS[part])
    assert float(metric.compute()) == pytest.approx(reported(ANSWERS, LABELS, 4))
    assert float(metric.compute()) > f1_score(LABELS, ANSWERS, average="macro") + 0.1


def test_with_images_of_every_class_it_is_the_macro_average():
    torch.manual_seed(0)
    logits, labels = torch.randn(60, 4), torch.arange(60) % 4
    usual = MulticlassF1Score(4, average="macro")(logits, labels)
    assert float(MacroF1(4)(logits, labels)) == pytest.approx(float(usual))


def test_without_images_it_is_0():
    metric = MacroF1(3)
    metric.ignore_index = -1
    assert metric(torch.tensor([0, 1]), torch.tensor([-1, -1])) == 0


def test_training_watches_the_reported_macro_f1(toy, build):
    toy["classes"].append("unseen")
    task = ClassificationTask(build(classes=4), **toy)
    metric = task.metrics["val_"]
    metric.update(nn.functional.one_hot(ANSWERS, 4).float(), LABELS)
    assert float(metric.compute()["val_macro_f1"]) == pytest.approx(reported(ANSWERS, LABELS, 4))


def test_remembering_has_the_reported_macro_f1():
    shown = torch.cat([torch.arange(4), ANSWERS])  # an image of each class, and images like them
    fitted = remember(
        Nearest(),
        views={"image": (200 * nn.functional.one_hot(shown, 4)).byte().numpy()[:, None, :, None]},
        labels=torch.cat([torch.arange(4), LABELS]).numpy(),
        parts={"train": np.arange(4), "validation": np.arange(4, 12)},
        classes=4,
        device=torch.device("cpu"),
    )
    assert fitted.history["val_macro_f1"].item() == pytest.approx(reported(ANSWERS, LABELS, 4))
