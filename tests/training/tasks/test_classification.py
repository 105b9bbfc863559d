import lightning
import numpy as np
import pytest
import torch

from wbc_pipeline.training.feature_cache import forget_features
from wbc_pipeline.training.options import StageOptions
from wbc_pipeline.training.tasks.base import Stage, Task
from wbc_pipeline.training.tasks.classification import ClassificationTask


class Seen(lightning.Callback):
    """Collects the labels of the training batches, and how often features are computed."""

    def __init__(self):
        self.labels, self.targets = [], []

    def on_train_start(self, trainer, task):
        losses = task.losses

        def spy(batch, part):
            if part == "train":
                self.labels += batch["label"].tolist()
                self.targets.append(batch["target"])
            return losses(batch, part)

        task.losses = spy


def unbalance(toy):
    """Leave 4 of 20 training images in the first class."""
    labels = toy["labels"]
    few, many = np.flatnonzero(labels[:64] == 0)[:4], np.flatnonzero(labels[:64] > 0)[:16]
    toy["parts"]["train"] = np.concatenate([few, many])


def test_classes_are_drawn_equally_often(train, toy):
    unbalance(toy)
    seen = Seen()
    train(epochs=20, patience=None, sampling="class", callbacks=[seen])
    shares = np.bincount(seen.labels) / len(seen.labels)
    assert shares == pytest.approx([1 / 3] * 3, abs=0.08)


def test_sources_are_drawn_equally_often(train, toy):
    toy["sources"] = np.where(toy["labels"] == 0, "one", "another")
    seen = Seen()
    train(epochs=10, patience=None, sampling="source", callbacks=[seen])
    assert np.mean(np.array(seen.labels) == 0) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("learn_from", ["train", "outside", "both"])
def test_a_stage_learns_from_the_images_that_it_names(train, toy, learn_from):
    toy["labels"] = np.where(np.arange(96) < 40, 0, 1 + np.arange(96) % 2)
    toy["parts"] = {
        "train": np.arange(40),
        "outside": np.arange(40, 80),
        "validation": np.arange(80, 96),
    }
    seen = Seen()
    train(epochs=3, patience=None, learn_from=learn_from, callbacks=[seen])
    expected = {"train": {0}, "outside": {1, 2}, "both": {0, 1, 2}}
    assert set(seen.labels) == expected[learn_from]


def test_images_outside_that_are_not_there_are_refused(train):
    with pytest.raises(ValueError, match=r"stages\.main\.learn_from: .* no images outside"):
        train(learn_from="both")


def test_class_weights_change_the_training_loss_alone(train, toy, build):
    unbalance(toy)
    plain, weighted = (
        train(build(), epochs=1, learning_rate=1e-12, class_weights=weights)
        for weights in ("none", "balanced")
    )
    assert plain.history["val_loss"].equals(weighted.history["val_loss"])
    assert not plain.history["train_loss"].equals(weighted.history["train_loss"])


def test_mixed_images_have_mixed_labels(train):
    seen = Seen()
    train(epochs=1, augmentation={"mixup": 0.5, "cutmix": 0.5}, callbacks=[seen])
    targets = torch.cat(seen.targets)
    assert targets.shape[1] == 3
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(len(targets)))
    assert ((targets > 0) & (targets < 1)).any()


HEAD_ALONE = {"freeze": ["features"], "keep": "last", "epochs": 3}


def test_a_head_on_cached_features_trains_as_on_computed_ones(train, build):
    networks = [build(), build()]
    for network, cached in zip(networks, (False, True), strict=True):
        train(network, **HEAD_ALONE, cached_features=cached)
    for one, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


@pytest.fixture
def rows_seen():
    """Tell how many rows a network's features are computed of in a training."""
    forget_features()

    def train_and_count(train, network):
        seen = []
        handle = network.features.register_forward_pre_hook(
            lambda module, inputs: seen.append(len(inputs[0]))
        )
        train(network, **HEAD_ALONE, cached_features=True)
        handle.remove()
        return sum(seen)

    yield train_and_count
    forget_features()


def test_features_are_computed_once(train, build, rows_seen):
    assert rows_seen(train, build()) == 2 + 64 + 32  # two tell whether the features are fixed


def test_another_head_on_the_same_features_computes_none(train, build, rows_seen):
    first, second, third = build(), build(), build()
    second.head[-1].weight.data += 1
    next(third.features.parameters()).data += 1e-3
    rows_seen(train, first)
    assert rows_seen(train, second) == 2
    assert rows_seen(train, third) == 2 + 64 + 32


def test_cached_features_need_all_but_the_head_frozen(train):
    with pytest.raises(ValueError, match=r"weights before the head of NormalCNN are trained"):
        train(cached_features=True)


def test_cached_features_need_a_network_that_offers_them(train, build):
    with pytest.raises(ValueError, match="BlendCNN has no methods features and head"):
        train(build("blend_cnn"), cached_features=True)


def test_a_network_learns_under_every_loss(train):
    chain = {"chain": ["dark", "grey", "light"]}
    for options in (
        {"class_weights": "effective", "focal": 2.0},
        {"logit_adjustment": 1.0, "ordinal": chain, "augmentation": {"cutmix": 0.5}},
    ):
        fit = train(epochs=20, patience=None, **options)
        assert fit.history["val_macro_f1"].max() > 0.9
        assert np.isfinite(fit.history["train_loss"]).all()
    assert {"cross_entropy", "ordinal"} <= {*fit.paths["name"]}


def test_losses_of_imbalance_change_the_training_loss_alone(train, toy, build):
    unbalance(toy)
    frozen = {"epochs": 1, "learning_rate": 1e-12}
    plain = train(build(), **frozen).history
    for options in (
        {"focal": 2.0},
        {"logit_adjustment": 1.0},
        {"class_weights": "effective"},
        {"ordinal": {"chain": ["dark", "light"]}},
    ):
        changed = train(build(), **frozen, **options).history
        assert changed["val_loss"].equals(plain["val_loss"])
        assert not changed["train_loss"].equals(plain["train_loss"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ordinal": {"chain": ["dark", "pale"]}}, r"ordinal\.chain: there is no class 'pale'"),
        (
            {"rare_augmentation": {}, "rare_classes": ["pale"]},
            r"rare_classes: there is no class 'pale'; there are dark, grey, light",
        ),
    ],
)
def test_a_class_that_is_not_there_is_named(train, options, words):
    with pytest.raises(ValueError, match=words):
        train(**options)


@pytest.mark.parametrize("named", [None, ["dark"]])
def test_images_of_rare_classes_alone_change_more(build, toy, named):
    unbalance(toy)
    toy["parts"]["train"] = toy["parts"]["train"][2:]  # 2, 8 and 8 images
    task = ClassificationTask(build(), **toy)
    options = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "rare_classes": named}
    strong = {"flip": False, "cutout": 0.9, "noise": 0.5}
    task.begin(Stage("main", 0, StageOptions(**options, rare_augmentation=strong), seed=0))
    task.on_fit_start()
    rows = torch.from_numpy(toy["parts"]["train"])
    before = task.batch(rows)
    after = task.augmented(before)
    same = (before["inputs"][0] == after["inputs"][0]).flatten(1).all(dim=1)
    assert same.tolist() == (before["label"] != 0).tolist()


def test_cached_passes_are_augmented_apart_and_taken_in_turn(train, build):
    network, seen = build(), []
    network.head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    schedule = HEAD_ALONE | {"epochs": 4, "patience": None, "batch_size": 64}
    train(
        network,
        **schedule,
        cached_features=True,
        cached_passes=3,
        augmentation={"noise": 0.2, "brightness": 0.3},
    )
    epochs = [each.sort(dim=0).values for each in seen if len(each) == 64]
    assert len(epochs) == 4
    assert torch.equal(epochs[0], epochs[3])
    assert not torch.allclose(epochs[0], epochs[1])
    assert not torch.allclose(epochs[1], epochs[2])
    validation = [each for each in seen if len(each) == 32]
    assert all(torch.equal(each, validation[0]) for each in validation)  # as they are


def test_cached_passes_depend_on_the_seed_alone(train, build):
    passes = {"cached_features": True, "cached_passes": 2, "augmentation": {"noise": 0.2}}
    networks = [build(), build()]
    for number, network in enumerate(networks):
        torch.manual_seed(number)
        train(network, **HEAD_ALONE, **passes)
    for one, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_a_task_must_say_is_abstract():
    assert Task.__abstractmethods__ == {"batch", "augmented", "losses", "predict"}
