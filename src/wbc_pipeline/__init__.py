"""White-blood-cell image papers re-run as Kedro pipelines, with honest splits."""

__version__ = "0.1.0"
