import lightning
import numpy as np
import pytest
import torch

from wbc_pipeline.models import build_network
from wbc_pipeline.training.fit import fit_network
from wbc_pipeline.training.options import AugmentationOptions, TrainerOptions

CPU = torch.device("cpu")


def small_network(name="normal_cnn", **arguments):
    sizes = {"classes": 3, "image_size": 16, "filters": (8, 16), "dense": 32}
    return build_network(name, sizes | arguments, seed=0)


def test_learns_what_can_be_learnt(toy, schedule):
    schedule["train"] = schedule["train"].model_copy(update={"epochs": 20, "patience": 20})
    fit = fit_network(small_network(), **toy, **schedule, device=CPU, seed=0)
    assert fit.history["val_accuracy"].max() > 0.9


def test_one_cycle_raises_the_rate_and_lets_it_fall(toy, schedule):
    class Rates(lightning.Callback):
        def __init__(self):
            self.seen = []

        def on_train_batch_start(self, trainer, *_):
            self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])

    schedule["train"] = schedule["train"].model_copy(
        update={"schedule": "one_cycle", "epochs": 5, "patience": 5, "label_smoothing": 0.1}
    )
    rates = Rates()
    fit_network(small_network(), **toy, **schedule, device=CPU, seed=0, callbacks=[rates])
    peak = int(np.argmax(rates.seen))
    assert max(rates.seen) == pytest.approx(1e-3, rel=0.1)
    assert 0 < peak < len(rates.seen) / 2
    assert rates.seen[-1] < 1e-3 / 100
    assert (np.diff(rates.seen[peak:]) < 0).all()


def test_history_has_a_row_per_epoch_and_no_gap(toy, schedule):
    fit = fit_network(small_network(), **toy, **schedule, device=CPU, seed=0)
    assert fit.history["epoch"].tolist() == [0, 1]
    assert fit.history.notna().all().all()


def test_same_seed_gives_the_same_weights(toy, schedule):
    schedule["train"] = schedule["train"].model_copy(
        update={"augmentation": AugmentationOptions(rotation=90)}
    )
    networks = [small_network(), small_network()]
    for network in networks:
        fit_network(network, **toy, **schedule, device=CPU, seed=3)
    one, other = (network.state_dict() for network in networks)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_weights_are_those_of_the_best_epoch(toy, schedule):
    schedule["train"] = schedule["train"].model_copy(update={"epochs": 5, "patience": 5})
    network = small_network()
    fit = fit_network(network, **toy, **schedule, device=CPU, seed=0)
    images = torch.from_numpy(toy["arrays"][0][toy["validation_rows"]])
    logits = network.eval()(images.permute(0, 3, 1, 2) / 255)
    labels = torch.from_numpy(toy["labels"][toy["validation_rows"]])
    loss = torch.nn.functional.cross_entropy(logits, labels)
    assert loss.item() == pytest.approx(fit.history["val_loss"].min(), rel=1e-4)


def test_stops_when_validation_no_longer_improves(toy, schedule):
    shuffled = np.random.default_rng(1).permutation(toy["labels"])
    schedule["train"] = schedule["train"].model_copy(update={"epochs": 40, "patience": 1})
    fit = fit_network(small_network(), **toy | {"labels": shuffled}, **schedule, device=CPU, seed=0)
    assert len(fit.history) < 40


def test_alpha_is_tracked_step_by_step(toy, schedule):
    toy["arrays"].append(255 - toy["arrays"][0])
    fit = fit_network(small_network("blend_cnn", alpha=0.3), **toy, **schedule, device=CPU, seed=0)
    path = fit.paths[fit.paths["name"] == "alpha"]
    assert path["value"].iloc[0] == pytest.approx(0.3, abs=0.01)
    assert path["value"].nunique() > 1
    assert path["step"].is_monotonic_increasing


def test_diverged_training_says_what_to_do(toy, schedule):
    schedule["train"] = schedule["train"].model_copy(update={"learning_rate": 1e30})
    with pytest.raises(FloatingPointError, match="learning_rate"):
        fit_network(small_network(), **toy, **schedule, device=CPU, seed=0)


def test_two_processes_train_one_network(toy, schedule):
    schedule["trainer"] = TrainerOptions(devices=2, precision="32-true", channels_last=False)
    network = small_network("blend_cnn", alpha=0.3)
    toy["arrays"].append(255 - toy["arrays"][0])
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    fit = fit_network(network, **toy, **schedule, device=CPU, seed=0)
    assert len(fit.history) == 2
    # 64 images in batches of 16 are 4 steps for one process, 2 for each of two.
    assert fit.paths["step"].nunique() == 2 * 2
    after = network.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
