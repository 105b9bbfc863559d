import pytest

from wbc_pipeline.datasets.results import ResultDataset, ResultsDataset, Task, run_task


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


def test_what_a_killed_process_left_is_cleared_away(tmp_path):
    (tmp_path / ".result.making.dead").mkdir()
    run_task(tmp_path / "result", Task({}, writing("new", [])))
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
    import threading

    task = Task({"alpha": 0.5}, writing("first", []))
    monkeypatch.setenv("RANK", "1")
    follower = threading.Thread(target=run_task, args=(tmp_path / "result", task))
    follower.start()
    assert follower.is_alive()
    monkeypatch.setenv("RANK", "0")
    run_task(tmp_path / "result", task)
    follower.join(timeout=5)
    assert not follower.is_alive()
