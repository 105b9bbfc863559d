"""White-blood-cell image papers re-run as Kedro pipelines, with honest splits."""

from wbc_pipeline.imaging.registry import register_step

__version__ = "0.1.0"

register_step(  # imaging itself may not depend on models
    "detector_region",
    "find_region",
    "wbc_pipeline.models.detect:detector_region",
    fit="wbc_pipeline.models.detect:DETECTOR_FIT",
)
