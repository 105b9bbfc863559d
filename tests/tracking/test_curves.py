import pickle

import lightning
import mlflow
import torch

from wbc_pipeline.tracking import track_run
from wbc_pipeline.tracking.curves import CurveLogger


class Task(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch):
        loss = self.layer(batch[0]).square().mean()
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        self.log("alpha", 0.5)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters())


def fit(logger):
    batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(4, 1)))
    engine = lightning.Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=logger,
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    engine.fit(Task(), batches)
    return engine


def test_curves_have_a_point_per_epoch_and_the_run_stays_open(tracker, key):
    before = mlflow.get_tracking_uri()
    with track_run(key) as tracked:
        fit(tracked.logger)
        client = mlflow.MlflowClient(tracker.uri)
        run = client.get_run(tracked.logger.run_id)
        history = client.get_metric_history(run.info.run_id, "train/loss")
        assert [point.step for point in history] == [0, 1]
        assert "path/alpha" not in run.data.metrics  # follows in one batch
        assert run.info.status == "RUNNING"
    assert mlflow.get_tracking_uri() == before


def test_a_server_that_dies_in_mid_training_stops_no_training(tracker, key, monkeypatch, caplog):
    def die(*args, **kwargs):
        raise ConnectionError

    with track_run(key) as tracked:
        monkeypatch.setattr(tracked.logger.experiment, "log_batch", die)
        assert fit(tracked.logger).current_epoch == 2
    assert sum("training goes on" in record.message for record in caplog.records) == 1


def test_a_logger_travels_to_other_processes(tracker, key):
    with track_run(key) as tracked:
        copy = pickle.loads(pickle.dumps(tracked.logger))
    assert isinstance(copy, CurveLogger)
    assert copy.run_id == tracked.logger.run_id
