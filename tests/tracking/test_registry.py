"""The alias of the best network of a data set."""

import mlflow
import pytest

CARD = "# the card\n"


@pytest.fixture
def crown(tracker, example, tmp_path):
    """Give a training the crown of a name; its card lies where `compare` writes it."""
    tracker._reports = tmp_path / "reports"

    def crown(result, name, card=CARD, *, is_known=True):
        if is_known:
            tracker.enter(result, example)
        folder = tracker._reports / name / "compare/champion"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "README.md").write_text(card)
        paper = result.key["params"]["paper"]
        entry = {"name": f"wbc_{name}", "dataset": name, "paper": paper, "key": result.digest}
        tracker.crown(entry)
        return mlflow.MlflowClient(tracker.uri)

    return crown


def champion_of(client, name):
    return client.get_model_version_by_alias(name, "champion")


def test_the_alias_moves_with_the_champion_and_makes_one_version_of_each_model(
    crown, make_key, write_result, tmp_path
):
    first = write_result(make_key("crowned", variant="first"))
    second = write_result(make_key("crowned", variant="second"), folder=tmp_path / "second")
    versions = []
    for result in (first, first, second, first):
        client = crown(result, "crowned")
        champion = champion_of(client, "wbc_crowned")
        run = client.get_run(champion.run_id)
        assert run.data.tags["key"] == result.digest
        versions.append(int(champion.version))
    assert versions == [1, 1, 2, 1]
    assert len(client.search_model_versions("name = 'wbc_crowned'")) == 2


def test_the_card_lies_beside_the_model_and_describes_the_version(
    crown, tracker, key, write_result, monkeypatch
):
    result = write_result(key)
    crown(result, "described")
    client = crown(result, "described", card="# another card\n")
    assert champion_of(client, "wbc_described").description == "# another card\n"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracker.uri)
    model = "models:/wbc_described@champion"
    assert mlflow.artifacts.load_text(f"{model}/README.md") == "# another card\n"


def test_a_model_that_mlflow_does_not_have_is_told_and_nothing_fails(
    crown, key, write_result, caplog
):
    client = crown(write_result(key), "unknown", is_known=False)
    assert "run test_a_model_that_mlflow" in caplog.text
    assert not client.search_registered_models("name = 'wbc_unknown'")


def test_a_registry_that_fails_fails_no_command(crown, key, write_result, monkeypatch, caplog):
    monkeypatch.setattr(
        mlflow.MlflowClient, "set_registered_model_alias", lambda *_: 1 / 0, raising=True
    )
    crown(write_result(key), "failing")
    assert "ZeroDivisionError" in caplog.text
