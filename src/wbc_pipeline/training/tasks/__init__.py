"""What a network learns: each task is one LightningModule."""
