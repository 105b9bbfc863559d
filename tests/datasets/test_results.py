import json
import threading
import time
from dataclasses import replace

import pytest
from filelock import FileLock

from wbc_pipeline import processes
from wbc_pipeline.datasets import results
from wbc_pipeline.datasets.results import (
    Policy,
    ResultDataset,
    ResultsDataset,
    Task,
    current_policy,
    run_task,
)
from wbc_pipeline.keys import Key
from wbc_pipeline.processes import FollowerError


def writing(text, calls):
    def compute(folder):
        calls.append(text)
        (folder / "result.txt").write_text(text)

    return compute


def task(text, calls=None, *, code="1", resumes=False, **params):
    return Task(
        Key(params, code={"file.py": code}),
        writing(text, [] if calls is None else calls),
        resumes=resumes,
    )


def test_a_finished_result_is_not_made_again(tmp_path):
    calls = []
    folders = {run_task(tmp_path, "run", task("once", calls, alpha=0.5)).folder for _ in range(2)}
    assert calls == ["once"]
    assert len(folders) == 1


def test_another_key_leaves_the_first_result_as_it_is(tmp_path):
    old = run_task(tmp_path, "run", task("old", alpha=0.5))
    new = run_task(tmp_path, "run", task("new", alpha=0.6))
    texts = [(result.folder / "result.txt").read_text() for result in (old, new)]
    assert texts == ["old", "new"]


def test_a_folder_ends_with_the_digest_of_its_key(tmp_path):
    result = run_task(tmp_path, "normal/source-0", task("text", alpha=0.5))
    assert result.folder == tmp_path / "normal" / f"source-0-{result.digest}"


def test_where_and_when_it_was_made_is_no_part_of_the_key(tmp_path):
    result = run_task(tmp_path, "run", task("text", alpha=0.5))
    assert set(result.key) == {"params", "data", "code"}
    assert {"command", "date", "cores", "versions", "seconds"} <= set(result.provenance)


def test_why_something_is_made_is_said(tmp_path, caplog):
    caplog.set_level("INFO")
    run_task(tmp_path, "run", task("old", alpha=0.5))
    run_task(tmp_path, "run", task("new", alpha=0.6))
    run_task(tmp_path, "run", task("newer", alpha=0.6, code="2"))
    reasons = [record.getMessage() for record in caplog.records]  # none for what is new
    assert reasons == ["run is made anew: alpha 0.5 → 0.6", "run is made anew: code of file.py"]


def test_a_training_has_one_line_and_the_path_is_said_once(tmp_path, caplog):
    caplog.set_level("INFO")
    runs = [{"variant": "normal", "protocol": "source", "seed": seed, "fold": 0} for seed in (0, 1)]
    trainings = {
        f"normal/source-{run['seed']}": replace(
            task("weights", **run), finding=lambda folder: "validation accuracy 0.62"
        )
        for run in runs
    }
    for _ in range(2):  # nothing is said of what is there
        ResultsDataset(filepath=str(tmp_path)).save(trainings)
    first, *lines = [record.getMessage() for record in caplog.records]
    assert first == f"2 of 2 results to make below {tmp_path}"
    for seed, line in enumerate(lines):
        words = line.split(" · ")
        assert words[:3] == ["normal", "source", f"seed {seed}"] and words[3].endswith(" s")
        assert words[4:] == ["validation accuracy 0.62"]
    assert len(lines) == 2


def test_other_results_have_a_line_together(tmp_path, caplog):
    caplog.set_level("INFO")
    ResultsDataset(filepath=str(tmp_path)).save({name: task(name, name=name) for name in "abc"})
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == f"3 of 3 results to make below {tmp_path}"
    assert len(lines) == 2 and lines[1].startswith("3 made in ")


def test_changed_code_can_be_left_out_of_account(tmp_path):
    old = run_task(tmp_path, "run", task("old", alpha=0.5))
    policy = Policy(rerun=("params", "data"))
    token = current_policy.set(policy)
    try:
        assert run_task(tmp_path, "run", task("new", alpha=0.5, code="2")).folder == old.folder
        other = run_task(tmp_path, "run", task("new", alpha=0.6, code="2"))
    finally:
        current_policy.reset(token)
    assert other.folder != old.folder
    assert policy.kept == {str(old.folder): ["code of file.py"]}


def test_a_better_result_that_is_there_is_taken_instead(tmp_path):
    better = run_task(tmp_path, "run", task("pretrained", weights="imagenet"))
    wished = Task(Key({"weights": "none"}), writing("scratch", []), instead=None)
    asked = task("pretrained", weights="imagenet").key
    with_wish = Task(wished.key, wished.compute, instead=asked)
    assert run_task(tmp_path, "run", with_wish).folder == better.folder
    assert run_task(tmp_path, "run", wished).folder != better.folder


def test_a_failure_leaves_nothing_but_a_lock(tmp_path):
    def fail(folder):
        (folder / "half.txt").write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        run_task(tmp_path, "run", Task(Key({}), fail))
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_a_task_that_resumes_goes_on_with_what_an_interrupted_one_left(tmp_path):
    def begin(folder):
        (folder / "first.txt").write_text("first")
        raise KeyboardInterrupt

    def finish(folder):
        assert (folder / "first.txt").read_text() == "first"
        (folder / "second.txt").write_text("second")

    with pytest.raises(KeyboardInterrupt):
        run_task(tmp_path, "run", Task(Key({"alpha": 0.5}), begin, resumes=True))
    result = run_task(tmp_path, "run", Task(Key({"alpha": 0.5}), finish, resumes=True))
    assert {"first.txt", "second.txt"} <= {path.name for path in result.folder.iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == [result.folder.name]


def test_what_was_begun_with_another_key_is_not_gone_on_with(tmp_path):
    def begin(folder):
        (folder / "half.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_task(tmp_path, "run", Task(Key({"alpha": 0.5}), begin, resumes=True))
    result = run_task(tmp_path, "run", task("new", alpha=0.6, resumes=True))
    assert not (result.folder / "half.txt").exists()


def test_a_command_waits_for_another_that_is_making_the_same(tmp_path):
    calls, begun = [], threading.Event()

    def slow(folder):
        begun.set()
        time.sleep(0.5)
        writing("slow", calls)(folder)

    first = threading.Thread(target=run_task, args=(tmp_path, "run", Task(Key({}), slow)))
    first.start()
    assert begun.wait(timeout=5)
    second = run_task(tmp_path, "run", Task(Key({}), writing("second", calls)))
    first.join()
    assert calls == ["slow"]
    assert (second.folder / "result.txt").read_text() == "slow"


def test_interrupted_runs_go_on_with_what_is_missing(tmp_path):
    dataset = ResultsDataset(filepath=str(tmp_path / "runs"))
    calls = []

    def interrupt(folder):
        raise KeyboardInterrupt

    first = task("a", calls, seed=0)
    with pytest.raises(KeyboardInterrupt):
        dataset.save({"source-0": first, "source-1": Task(Key({"seed": 1}), interrupt)})
    dataset.save({"source-0": first, "source-1": task("b", calls, seed=1)})
    assert calls == ["a", "b"]
    assert list(dataset.load()) == ["source-0", "source-1"]


def test_a_command_reads_what_it_asked_for_whatever_others_ask_for_meanwhile(tmp_path):
    mine, theirs = (ResultsDataset(filepath=str(tmp_path)) for _ in range(2))
    mine.save({"run": task("mine", alpha=0.5)})
    theirs.save({"run": task("theirs", alpha=0.6), "other": task("other", alpha=0.7)})
    assert list(mine.load()) == ["run"]
    assert (mine.load()["run"].folder / "result.txt").read_text() == "mine"


def test_a_command_that_begins_later_reads_what_the_last_one_asked_for(tmp_path):
    ResultsDataset(filepath=str(tmp_path)).save({"run": task("old", alpha=0.5)})
    ResultsDataset(filepath=str(tmp_path)).save({"run": task("new", alpha=0.6)})
    later = ResultsDataset(filepath=str(tmp_path))
    assert later.exists()
    assert (later.load()["run"].folder / "result.txt").read_text() == "new"


def test_a_single_result_lies_in_a_folder_named_by_its_digest(tmp_path):
    dataset = ResultDataset(filepath=str(tmp_path / "result"))
    assert not dataset.exists()
    dataset.save(task("text", alpha=0.5))
    assert dataset.exists()
    result = dataset.load()
    assert result.folder == tmp_path / "result" / result.digest
    assert result.key["params"] == {"alpha": 0.5}


def test_an_identical_command_writes_nothing(tmp_path):
    for _ in range(2):
        ResultsDataset(filepath=str(tmp_path)).save({"run": task("text", alpha=0.5)})
        times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    ResultsDataset(filepath=str(tmp_path)).save({"run": task("text", alpha=0.5)})
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times


def test_only_what_no_process_works_on_counts_as_interrupted(tmp_path):
    for name in ("dead", "alive"):
        (tmp_path / f".{name}.making").mkdir()
        (tmp_path / f".{name}.lock").touch()
    with FileLock(tmp_path / ".alive.lock"):
        found = results.interrupted_folders(tmp_path)
    assert [path.name for path in found] == [".dead.making"]


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job of several processes that share a folder."""
    monkeypatch.setattr(processes, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(processes, "PATIENCE_SECONDS", 0.5)
    return processes.share_folder(tmp_path)


def test_a_second_process_waits_for_the_first_ones_result(tmp_path, monkeypatch, job):
    calls, waits = [], threading.Event()
    shared = task("first", calls, alpha=0.5)
    sleep = time.sleep
    monkeypatch.setattr(results.time, "sleep", lambda seconds: (waits.set(), sleep(seconds)))
    monkeypatch.setenv("RANK", "1")
    follower = threading.Thread(target=run_task, args=(tmp_path, "run", shared))
    job.start()
    follower.start()
    assert waits.wait(timeout=5)
    monkeypatch.setenv("RANK", "0")
    run_task(tmp_path, "run", shared)
    follower.join(timeout=5)
    job.stop()
    assert not follower.is_alive()
    assert calls == ["first"]


def test_a_second_process_does_not_wait_for_a_first_that_has_stopped(tmp_path, monkeypatch, job):
    monkeypatch.setenv("RANK", "1")
    job.start()
    job.stop()
    begun = time.monotonic()
    with pytest.raises(RuntimeError, match=r"first process .* stopped"):
        run_task(tmp_path, "run", task("never", alpha=0.5))
    assert time.monotonic() - begun < 5


def test_a_second_process_takes_part_in_what_needs_all_and_keeps_nothing(tmp_path, monkeypatch):
    calls = []

    def share_the_work(folder):
        calls.append(folder)
        run_task(tmp_path, "run", Task(Key({}), writing("first", [])))  # what the first one keeps
        raise FollowerError

    monkeypatch.setattr(results, "process_rank", iter([1, 0]).__next__)
    run_task(tmp_path, "run", Task(Key({}), share_the_work, collective=True))
    assert len(calls) == 1
    assert not calls[0].exists()


def test_the_key_on_disk_is_the_key_of_the_task(tmp_path):
    key = Key({"rates": (0.1, 0.2)}, data={"rows": "abc"}, code={"file.py": "1"})
    result = run_task(tmp_path, "run", Task(key, writing("text", [])))
    assert json.loads((result.folder / "key.json").read_text()) == key.as_dict()
    assert result.digest == key.digest
