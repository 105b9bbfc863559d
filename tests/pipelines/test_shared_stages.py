"""Stages that several trainings of a command begin with."""

import pytest
import torch

from wbc_pipeline.datasets.results import interrupted_folders
from wbc_pipeline.keys import Key
from wbc_pipeline.pipelines.experiment.shared_stages import SharedStages, beginning_of
from wbc_pipeline.training.fit import checkpoint_files

PLAIN = {"head": "h", "all": "ha"}
LONGER = {**PLAIN, "fresh": "haf"}
OTHER = {"head": "h", "all": "hb"}


@pytest.fixture
def begin(tmp_path):
    """Make the working folder of a training."""

    def make(variant):
        folder = tmp_path / "paper" / variant / ".run.making"
        folder.mkdir(parents=True)
        return folder

    return make


def finish(folder, stages, weights):
    for stage in stages:
        state, best = checkpoint_files(folder, stage)
        torch.save({"callbacks": {"at": stage}, "state_dict": weights, "optimizer": 1}, state)
        torch.save({"state_dict": weights}, best)


def test_a_training_takes_the_stages_that_an_earlier_one_has_finished(begin):
    shared = SharedStages([PLAIN, LONGER, OTHER])
    plain, longer, other = (begin(name) for name in ("plain", "longer", "other"))
    assert shared.bring(PLAIN, plain) == {}
    finish(plain, PLAIN, weights={"w": torch.ones(2)})
    shared.keep(PLAIN, plain, "plain")
    assert shared.bring(OTHER, other) == {"head": "plain"}
    assert shared.bring(LONGER, longer) == {"head": "plain", "all": "plain"}
    state, best = (torch.load(file) for file in checkpoint_files(longer, "all"))
    assert state == {"callbacks": {"at": "all"}, "shared_by": "plain"}
    assert best["state_dict"]["w"].tolist() == [1, 1]


def test_what_a_training_has_begun_itself_stays(begin):
    shared = SharedStages([PLAIN, LONGER])
    plain, longer = begin("plain"), begin("longer")
    finish(plain, PLAIN, weights={})
    shared.keep(PLAIN, plain, "plain")
    state, _ = checkpoint_files(longer, "head")
    torch.save({"callbacks": "own"}, state)
    assert shared.bring(LONGER, longer) == {}
    assert torch.load(state) == {"callbacks": "own"}


def test_nothing_is_kept_that_no_other_training_waits_for(begin, tmp_path):
    shared = SharedStages([PLAIN, OTHER])
    for name, stages in (("plain", PLAIN), ("other", OTHER)):
        finish(begin(name), stages, weights={})
        kept = [*tmp_path.rglob(".stages-*/*")]
        assert len(kept) == (2 if name == "other" else 0)  # of the head
        shared.keep(stages, tmp_path / "paper" / name / ".run.making", name)
    assert not [*tmp_path.rglob(".stages-*/*")]


def test_stages_that_were_removed_meanwhile_are_trained(begin, tmp_path):
    shared = SharedStages([PLAIN, LONGER])
    finish(plain := begin("plain"), PLAIN, weights={})
    shared.keep(PLAIN, plain, "plain")
    for file in tmp_path.rglob(".stages-*/*"):
        file.unlink()
    assert shared.bring(LONGER, begin("longer")) == {}


def test_a_training_that_goes_on_in_another_command_still_tells_whose_stages_it_took(begin):
    shared = SharedStages([PLAIN, LONGER])
    finish(plain := begin("plain"), PLAIN, weights={})
    shared.keep(PLAIN, plain, "plain")
    taken = shared.bring(LONGER, longer := begin("longer"))
    assert (
        SharedStages([LONGER]).bring(LONGER, longer) == taken == {"head": "plain", "all": "plain"}
    )


def test_a_stage_without_its_best_weights_is_trained(begin, tmp_path):
    shared = SharedStages([PLAIN, LONGER])
    finish(plain := begin("plain"), PLAIN, weights={})
    shared.keep(PLAIN, plain, "plain")
    for file in tmp_path.rglob(".stages-*/*.best.ckpt"):
        file.unlink()
    assert shared.bring(LONGER, longer := begin("longer")) == {}
    assert not checkpoint_files(longer, "head")[0].exists()


def test_kept_stages_are_left_alone_by_prune_while_the_command_lives(begin, tmp_path):
    shared = SharedStages([PLAIN, LONGER])
    finish(plain := begin("plain"), PLAIN, weights={})
    shared.keep(PLAIN, plain, "plain")
    (place,) = tmp_path.rglob(".stages-*.making")
    assert place not in interrupted_folders(tmp_path)
    del shared
    assert not [*tmp_path.rglob(".stages-*")]


@pytest.mark.parametrize(
    "other",
    [
        {"params": {"seed": 1}},
        {"data": {"rows": "others"}},
        {"data": {"weights": "others"}},
        {"code": {"a.py": "other"}},
    ],
)
def test_what_differs_in_more_than_name_and_later_stages_shares_nothing(other):
    stages = {"head": {"epochs": 2}, "all": {"epochs": 1}}
    known = {
        "params": {"variant": "plain", "seed": 0, "stages": stages},
        "data": {"rows": "own", "weights": "own"},
        "code": {"a.py": "own"},
    }
    changed = {part: {**values, **other.get(part, {})} for part, values in known.items()}
    one, another = (beginning_of(Key(**key), stages) for key in (known, changed))
    assert not set(one.values()) & set(another.values())
    turned = dict(reversed(stages.items()))
    assert not set(one.values()) & set(beginning_of(Key(**known), turned).values())
