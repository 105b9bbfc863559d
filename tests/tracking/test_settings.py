import pytest

from wbc_pipeline.tracking.settings import viewing_command


@pytest.fixture(autouse=True)
def no_server(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_store_of_the_folder_needs_no_name(tmp_path):
    for said in ("sqlite:///mlflow.db", f"sqlite:///{tmp_path}/mlflow.db"):
        assert viewing_command(said) == "mlflow ui"


def test_another_store_is_named():
    assert viewing_command("sqlite:////out/mlflow.db") == (
        "mlflow ui --backend-store-uri sqlite:////out/mlflow.db"
    )
    shown = viewing_command("sqlite:////my out/mlflow.db")
    assert shown == "mlflow ui --backend-store-uri 'sqlite:////my out/mlflow.db'"


def test_a_server_is_named_by_its_address_without_a_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@lab.example/mlflow")
    assert viewing_command("sqlite:///mlflow.db") == "https://…@lab.example/mlflow"
