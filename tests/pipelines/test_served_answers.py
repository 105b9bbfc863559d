"""What a training says of the answers of a served model."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.pipelines.experiment.options import Variant
from wbc_pipeline.pipelines.experiment.trainings import training_of


def describe(**variant):
    training = training_of(
        Variant(**variant),
        identity={"variant": "served"},
        run=SimpleNamespace(rows={"train": np.arange(3)}, key={"seed": 0}),
        arguments={},
        weights=None,
        stages={},
        trainer=None,
        device=None,
        views={},
        images=pd.DataFrame({"label": ["a", "b", "b"]}),
        packed=SimpleNamespace(pixels=np.zeros((3, 8, 8, 3), np.uint8)),
    )
    return training.description()


@pytest.mark.parametrize(
    ("variant", "answers"),
    [
        ({"network": "normal_cnn"}, {}),
        (
            {"network": "normal_cnn", "turns": True, "prior_correction": 0.5},
            {"turns": True, "prior_correction": 0.5},
        ),
        ({"network": "unet", "refine": {}}, {"turns": True}),
        ({"network": "unet", "refine": {"turns": False}}, {}),
    ],
)
def test_what_changes_the_answers_of_a_variant_stands_beside_its_network(variant, answers):
    described = describe(**variant)
    names = ("turns", "prior_correction")
    assert {name: described[name] for name in names if name in described} == answers
    assert described["class_counts"] == [1, 2]
    assert described["trained_as"] == {"variant": "served", "seed": 0}
