import threading
import time

import pytest
from filelock import FileLock

from wbc_pipeline.datasets import results
from wbc_pipeline.datasets.results import ResultDataset, ResultsDataset, Task, run_task
from wbc_pipeline.processes import FollowerError


def writing(text, calls):
    def compute(folder):
        calls.append(text)
        (folder / "result.txt").write_text(text)

    return compute


def test_a_finished_result_is_not_made_again(tmp_path):
    calls = []
    for _ in range(2):
        run_task(tmp_path / "result", Task({"alpha": 0.5}, writing("once", calls)))
    assert calls == ["once"]


def test_another_key_replaces_the_result(tmp_path):
    calls = []
    run_task(tmp_path / "result", Task({"alpha": 0.5}, writing("old", calls)))
    run_task(tmp_path / "result", Task({"alpha": 0.6}, writing("new", calls)))
    assert (tmp_path / "result" / "result.txt").read_text() == "new"


def test_a_failure_leaves_the_old_result_and_no_rubbish(tmp_path):
    run_task(tmp_path / "result", Task({"alpha": 0.5}, writing("old", [])))

    def fail(folder):
        (folder / "half.txt").write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        run_task(tmp_path / "result", Task({"alpha": 0.6}, fail))
    assert [path.name for path in tmp_path.iterdir()] == ["result"]
    assert (tmp_path / "result" / "result.txt").read_text() == "old"


def test_what_a_killed_process_left_is_cleared_away_and_a_live_ones_work_is_not(tmp_path):
    for name in ("dead", "alive"):
        (tmp_path / f".result.making.{name}.x").mkdir()
        (tmp_path / f".result.making.{name}.x.lock").touch()
    with FileLock(tmp_path / ".result.making.alive.x.lock"):
        run_task(tmp_path / "result", Task({}, writing("new", [])))
        left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".result.making.alive.x", ".result.making.alive.x.lock", "result"]


def test_what_was_begun_of_a_result_that_nobody_asks_for_any_more_is_removed(tmp_path):
    def begin(folder):
        (folder / "half.txt").write_text("half")
        raise KeyboardInterrupt

    dataset = ResultsDataset(filepath=str(tmp_path), prune=True)
    with pytest.raises(KeyboardInterrupt):
        dataset.save({"old": Task({}, begin, resumes=True)})
    assert len(list(tmp_path.iterdir())) == 1
    dataset.save({"new": Task({}, writing("new", []))})
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_task_that_resumes_goes_on_with_what_an_interrupted_one_left(tmp_path):
    def begin(folder):
        (folder / "first.txt").write_text("first")
        raise KeyboardInterrupt

    def finish(folder):
        assert (folder / "first.txt").read_text() == "first"
        (folder / "second.txt").write_text("second")

    with pytest.raises(KeyboardInterrupt):
        run_task(tmp_path / "result", Task({"alpha": 0.5}, begin, resumes=True))
    assert not (tmp_path / "result").exists()
    run_task(tmp_path / "result", Task({"alpha": 0.5}, finish, resumes=True))
    names = sorted(path.name for path in (tmp_path / "result").iterdir())
    assert names == ["first.txt", "key.json", "second.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_what_was_begun_with_another_key_is_not_gone_on_with(tmp_path):
    def begin(folder):
        (folder / "half.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_task(tmp_path / "result", Task({"alpha": 0.5}, begin, resumes=True))
    run_task(tmp_path / "result", Task({"alpha": 0.6}, writing("new", []), resumes=True))
    names = sorted(path.name for path in (tmp_path / "result").iterdir())
    assert names == ["key.json", "result.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_interrupted_runs_go_on_with_what_is_missing(tmp_path):
    dataset = ResultsDataset(filepath=str(tmp_path / "runs"))
    calls = []

    def interrupt(folder):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dataset.save({"source-0": Task({}, writing("a", calls)), "source-1": Task({}, interrupt)})
    dataset.save(
        {"source-0": Task({}, writing("a", calls)), "source-1": Task({}, writing("b", calls))}
    )
    assert calls == ["a", "b"]
    assert list(dataset.load()) == ["source-0", "source-1"]


def test_a_result_knows_its_key(tmp_path):
    dataset = ResultDataset(filepath=str(tmp_path / "result"))
    assert not dataset.exists()
    dataset.save(Task({"alpha": 0.5}, writing("text", [])))
    assert dataset.exists()
    assert dataset.load().key == {"alpha": 0.5}


def test_a_second_process_waits_for_the_first_ones_result(tmp_path, monkeypatch):
    calls, waits = [], threading.Event()
    task = Task({"alpha": 0.5}, writing("first", calls))
    sleep = time.sleep
    monkeypatch.setattr(results.time, "sleep", lambda seconds: (waits.set(), sleep(seconds)))
    monkeypatch.setenv("RANK", "1")
    follower = threading.Thread(target=run_task, args=(tmp_path / "result", task))
    follower.start()
    assert waits.wait(timeout=5)
    monkeypatch.setenv("RANK", "0")
    run_task(tmp_path / "result", task)
    follower.join(timeout=5)
    assert not follower.is_alive()
    assert calls == ["first"]


def test_a_second_process_takes_part_in_what_needs_all_and_keeps_nothing(tmp_path, monkeypatch):
    calls = []

    def share_the_work(folder):
        calls.append(folder)
        run_task(tmp_path / "result", Task({}, writing("first", [])))  # what the first one keeps
        raise FollowerError

    monkeypatch.setattr(results, "process_rank", iter([1, 0]).__next__)
    run_task(tmp_path / "result", Task({}, share_the_work, collective=True))
    assert len(calls) == 1
    assert not calls[0].exists()
