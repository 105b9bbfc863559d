"""Stages that several trainings of a command begin with."""

import pytest
import torch

from wbc_pipeline.pipelines.experiment.shared_stages import SharedStages
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
    assert state == {"callbacks": {"at": "all"}}
    assert best["state_dict"]["w"].tolist() == [1, 1]


def test_what_a_training_has_begun_itself_stays(begin):
    shared = SharedStages([PLAIN, LONGER])
    plain, longer = begin("plain"), begin("longer")
    finish(plain, PLAIN, weights={})
    shared.keep(PLAIN, plain, "plain")
    state, _ = checkpoint_files(longer, "head")
    state.write_text("own")
    assert shared.bring(LONGER, longer) == {}
    assert state.read_text() == "own"


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
