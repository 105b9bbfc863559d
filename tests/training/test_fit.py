import os
from itertools import count

import lightning
import numpy as np
import pytest
import torch
from safetensors.torch import save

from wbc_pipeline.processes import FollowerError
from wbc_pipeline.training import callbacks
from wbc_pipeline.training.options import TrainerOptions


def bytes_of(network):
    return save({name: tensor.contiguous() for name, tensor in network.state_dict().items()})


def test_learns_what_can_be_learnt(train):
    fit = train(epochs=20, patience=20)
    assert fit.history["val_accuracy"].max() > 0.9
    assert fit.history["val_macro_f1"].max() > 0.9


class Rates(lightning.Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, *_):
        self.seen.append([group["lr"] for group in trainer.optimizers[0].param_groups])


def rates_of(train, network=None, **changes):
    rates = Rates()
    train(network, callbacks=[rates], epochs=5, patience=5, **changes)
    return np.squeeze(rates.seen)


def test_one_cycle_raises_the_rate_and_lets_it_fall(train):
    rates = rates_of(train, schedule="one_cycle", label_smoothing=0.1)
    peak = int(np.argmax(rates))
    assert max(rates) == pytest.approx(1e-3, rel=0.1)
    assert 0 < peak < len(rates) / 2
    assert rates[-1] < 1e-3 / 100
    assert (np.diff(rates[peak:]) < 0).all()


def test_steps_lower_the_rate_after_so_many_epochs(train):
    rates = rates_of(train, schedule="step", step_epochs=2, optimizer="sgd")
    np.testing.assert_allclose(rates, 1e-3 * np.repeat([1, 0.1, 0.01], [8, 8, 4]))


def test_a_cosine_lets_the_rate_fall_to_nothing(train):
    rates = rates_of(train, schedule="cosine", optimizer="adamw", weight_decay=0.1)
    assert rates[0] == 1e-3
    assert rates[-1] < 1e-3 / 100
    assert (np.diff(rates) < 0).all()


def test_rates_of_parts_are_factors_and_the_longest_prefix_counts(train, build):
    rates = rates_of(train, build("blend_cnn"), rates={"cnn": 0.1, "cnn.head": 10.0})
    assert sorted(rates[0]) == pytest.approx([1e-4, 1e-3, 1e-2])


def test_history_has_a_row_per_epoch_and_no_gap(train):
    fit = train(stages={"one": {}, "two": {"epochs": 1}})
    assert fit.history["epoch"].tolist() == [0, 1, 2]
    assert fit.history["stage"].tolist() == ["one", "one", "two"]
    assert fit.history.notna().all().all()
    assert {"train_loss", "val_loss", "val_macro_f1", "learning_rate"} <= {*fit.history}
    assert fit.summary["epochs"] == 3
    assert fit.summary["kept"] == "best"


def test_same_seed_gives_the_same_weights_whatever_ran_before(train, build):
    networks = [build(), build()]
    for number, network in enumerate(networks):
        torch.manual_seed(number)
        torch.rand(number)
        train(network, seed=3, augmentation={"rotation": 90})
    assert bytes_of(networks[0]) == bytes_of(networks[1])


def test_training_leaves_the_global_random_state_alone(train):
    before = torch.get_rng_state()
    train(epochs=1)
    assert torch.equal(torch.get_rng_state(), before)


def loss_of(network, toy):
    rows = toy["parts"]["validation"]
    images = torch.from_numpy(toy["views"]["image"][rows])
    logits = network.eval()(images.permute(0, 3, 1, 2) / 255)
    return torch.nn.functional.cross_entropy(logits, torch.from_numpy(toy["labels"][rows])).item()


def test_weights_are_those_of_the_best_epoch(train, build, toy):
    network = build()
    fit = train(network, epochs=5, patience=5, learning_rate=0.03)
    assert loss_of(network, toy) == pytest.approx(fit.history["val_loss"].min(), rel=1e-4)
    assert fit.summary["best_epoch"] == fit.history["val_loss"].idxmin()


def test_weights_are_those_of_the_last_epoch_or_the_average_where_asked(train, build, toy):
    for keep in ("last", "average"):
        network = build()
        fit = train(network, epochs=3, learning_rate=0.03, keep=keep)
        assert loss_of(network, toy) == pytest.approx(fit.history["val_loss"].iloc[-1], rel=1e-4)
        assert fit.summary["best_epoch"] == 2


def test_the_average_of_a_short_run_has_left_its_beginning(train, build):
    network, last = build(), build()
    train(network, keep="average", average_decay=0.9999)
    train(last, keep="last")
    pairs = [dict(part.named_parameters()) for part in (build(), network, last)]
    start, average, end = (torch.cat([w.flatten() for w in p.values()]) for p in pairs)
    assert 0.3 < (average - start).norm() / (end - start).norm() < 1


def test_stops_when_validation_no_longer_improves(train, toy):
    toy["labels"] = np.random.default_rng(1).permutation(toy["labels"])
    assert len(train(epochs=40, patience=1).history) < 40


def test_small_sets_train_for_more_epochs(train):
    assert len(train(epochs=1, min_steps=10, keep="last", patience=None).history) == 3


def test_alpha_is_tracked_step_by_step_and_over_stages(train, build):
    fit = train(build("blend_cnn", alpha=0.3), stages={"one": {}, "two": {}})
    path = fit.paths[fit.paths["name"] == "alpha"]
    assert path["value"].iloc[0] == pytest.approx(0.3, abs=0.01)
    assert path["value"].nunique() > 1
    assert path["step"].tolist() == list(range(16))
    assert path["epoch"].tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4


def test_diverged_training_says_what_to_do(train):
    for keep in ("best", "last", "average"):
        with pytest.raises(FloatingPointError, match="learning_rate"):
            train(learning_rate=1e30, keep=keep, seed={"best": 0, "last": 1, "average": 2}[keep])


def test_frozen_parts_keep_weights_and_batch_statistics(train, build):
    network, before = build(), build().state_dict()
    train(network, stages={"head": {"freeze": ["features"]}})
    after = network.state_dict()
    same = {name: torch.equal(before[name], after[name]) for name in before}
    assert all(kept for name, kept in same.items() if name.startswith("features."))
    assert not any(kept for name, kept in same.items() if name.startswith("head."))


def test_a_later_stage_trains_what_an_earlier_one_froze(train, build):
    network, before = build(), build().state_dict()
    train(network, stages={"head": {"freeze": ["features"]}, "all": {"keep": "last"}})
    weights = dict(network.named_parameters())
    assert not any(torch.equal(before[name], weight) for name, weight in weights.items())


def test_a_reset_head_learns_anew_on_what_an_earlier_stage_learned(train, build):
    plain, network, again = build(), build(), build()
    train(plain, stages={"representation": {"keep": "last"}})
    before = torch.get_rng_state()
    head = {"epochs": 1, "learning_rate": 1e-12, "freeze": ["features"], "keep": "last"}
    stages = {"representation": {"keep": "last"}, "head": {**head, "reset": ["head"]}}
    for each in (network, again):
        train(each, stages=stages)
    assert torch.equal(torch.get_rng_state(), before)
    assert bytes_of(network) == bytes_of(again)
    trained, start = plain.state_dict(), build().state_dict()
    for name, weight in network.state_dict().items():
        if name.startswith("features"):
            assert torch.equal(weight, trained[name])
        elif weight.ndim == 2:
            assert not torch.allclose(weight, trained[name], atol=1e-3)
            assert not torch.allclose(weight, start[name], atol=1e-3)


def test_what_no_layer_can_draw_anew_is_named(train, build):
    with pytest.raises(ValueError, match=r"stages\.main\.reset: alpha of BlendCNN"):
        train(build("blend_cnn"), reset=["alpha"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"freeze": ["body"]},
            r"stages\.main: no parameter of NormalCNN is under 'body'",
        ),
        ({"rates": {"tail": 2.0}}, "'tail'"),
        ({"reset": ["tail"]}, "'tail'"),
        ({"freeze": ["features", "head"]}, r"stages\.main\.freeze fixes all weights"),
        ({"monitor": "val_iou"}, r"stages\.main\.monitor.*no val_iou; use val_loss"),
        ({"sampling": "source"}, r"stages\.main\.sampling.*no source"),
    ],
)
def test_options_that_do_not_suit_the_task_are_refused(train, changes, words):
    with pytest.raises(ValueError, match=words):
        train(**changes)


def test_the_best_epoch_needs_a_validation_part(train, toy):
    toy["parts"].pop("validation")
    with pytest.raises(ValueError, match=r"keep: the best epoch needs a validation part"):
        train()
    assert "val_loss" not in train(keep="last").history


def test_gradients_are_clipped(train, build):
    network, start = build(), build()
    train(network, epochs=1, optimizer="sgd", momentum=0, learning_rate=1, gradient_clip=1e-4)
    moved = [
        (after - before).norm()
        for after, before in zip(network.parameters(), start.parameters(), strict=True)
    ]
    assert 0 < torch.stack(moved).norm() <= 4 * 1e-4 * 1.01


@pytest.mark.parametrize("keep", ["last", "average"])
def test_two_processes_train_one_network(train, build, monkeypatch, keep):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    network, before = build("blend_cnn", alpha=0.3), build("blend_cnn", alpha=0.3).state_dict()
    trainer = TrainerOptions(devices=2, precision="32-true", channels_last=False)
    fit = train(network, trainer=trainer, keep=keep)
    assert len(fit.history) == 2
    # 64 images in batches of 16 are 4 steps for one process, 2 for each of two.
    assert fit.paths["step"].nunique() == 2 * 2
    after = network.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_more_devices_than_there_are_are_refused_before_any_process_starts(train):
    with pytest.raises(ValueError, match="asks for 999 devices"):
        train(trainer=TrainerOptions(devices=999, precision="32-true", channels_last=False))


def test_processes_that_follow_have_nothing_to_keep(train, monkeypatch):
    monkeypatch.setattr("wbc_pipeline.training.fit.process_rank", lambda: 1)
    with pytest.raises(FollowerError):
        train(epochs=1)


class Crash(Exception):
    pass


@pytest.fixture
def crash_at(monkeypatch):
    """Make the given write of a checkpoint fail; None for no failure."""

    def crash_at(number):
        writes, replace = iter(range(1000)), os.replace

        def fail(*paths):
            if next(writes) == number:
                raise Crash
            replace(*paths)

        monkeypatch.setattr(callbacks, "os", type("os", (), {"replace": staticmethod(fail)}))

    return crash_at


STAGES = {
    "first": {"epochs": 2, "keep": "best", "schedule": "one_cycle"},
    "second": {"epochs": 2, "keep": "average", "sampling": "class"},
}


def test_a_training_stopped_at_any_write_ends_with_the_same_weights(train, build, crash_at):
    whole = build("blend_cnn")
    fit = train(whole, stages=STAGES)
    for number in count():
        crash_at(number)
        try:
            train(build("blend_cnn"), stages=STAGES)
            break  # there were no more writes
        except Crash:
            crash_at(None)
        network = build("blend_cnn")
        resumed = train(network, stages=STAGES)
        assert bytes_of(network) == bytes_of(whole)
        for one, other in ((fit.history, resumed.history), (fit.paths, resumed.paths)):
            columns = one.columns.drop("seconds", errors="ignore")
            assert one[columns].equals(other[columns])
    assert number >= 5  # a state per epoch, and at least one best


def test_a_resumed_training_keeps_precision_and_layout(train, crash_at):
    crash_at(1)
    with pytest.raises(Crash):
        train(keep="last")
    crash_at(None)
    fit = train(keep="last", trainer=TrainerOptions(precision="bf16-mixed", channels_last=True))
    assert (fit.summary["precision"], fit.summary["channels_last"]) == ("32-true", False)


def test_checkpoints_stay_until_what_came_of_the_training_is_safe(train, build, tmp_path):
    first, again = build(), build()
    train(first, keep_checkpoints=True)
    history = train(again).history
    assert bytes_of(again) == bytes_of(first)
    assert len(history) > 0
    assert list((tmp_path / "work").iterdir()) == []


UNFREEZING = {
    "head": {"freeze": ["features"], "cached_features": True},
    "top": {"freeze": ["features.0"], "learning_rate": 1e-3, "rates": {"features": 0.1}},
    "all": {"learning_rate": 1e-4},
}


class Places(lightning.Callback):
    """Collects the stage and epoch of each epoch that begins."""

    def __init__(self):
        self.seen = []

    def on_train_epoch_start(self, trainer, task):
        self.seen.append((task.stage.name, trainer.current_epoch))


def test_gradual_unfreezing_resumes_at_the_stage_and_epoch_where_it_was_stopped(
    train, build, crash_at
):
    how = {"stages": UNFREEZING, "monitor": "val_macro_f1", "augmentation": None, "patience": 5}
    whole, epochs = build(), Places()
    train(whole, callbacks=[epochs], **how)
    every = [(stage, epoch) for stage in UNFREEZING for epoch in (0, 1)]
    assert epochs.seen == every
    stopped_at = set()
    for number in count():
        before, after, network = Places(), Places(), build()
        crash_at(number)
        try:
            train(build(), callbacks=[before], **how)
            break  # there were no more writes
        except Crash:
            crash_at(None)
        train(network, callbacks=[after], **how)
        assert after.seen == every[every.index(before.seen[-1]) :]
        assert bytes_of(network) == bytes_of(whole)
        stopped_at.add(before.seen[-1])
    assert stopped_at == {*every}


def test_the_history_says_what_is_unfrozen_in_each_stage_and_at_which_rates(train, build):
    history = train(stages=UNFREEZING, epochs=1).history.set_index("stage")
    assert history["stage_number"].tolist() == [0, 1, 2]
    assert history.loc["head", "unfrozen"] == "head"
    assert history.loc["all", "unfrozen"] == "features, head"
    assert "features.0" not in history.loc["top", "unfrozen"]
    everything = sum(weight.numel() for weight in build().parameters())
    assert history.loc["all", "unfrozen_parameters"] == everything
    assert history["unfrozen_parameters"].is_monotonic_increasing
    assert history.loc["top", "learning_rate"] == pytest.approx(1e-3)
    assert history.loc["top", "learning_rate_lowest"] == pytest.approx(1e-4)
