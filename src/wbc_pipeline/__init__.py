"""White-blood-cell image papers re-run as Kedro pipelines, with honest splits."""

import os

from wbc_pipeline.imaging.registry import register_step

__version__ = "0.1.0"

# Threads of torch that wait for each other sleep rather than spin: where another program takes a
# core, spinning makes the steps of a small network up to fifty times slower. OpenMP reads this
# when it is first loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

register_step(  # imaging itself may not depend on models
    "detector_region",
    "find_region",
    "wbc_pipeline.models.detect:detector_region",
    fit="wbc_pipeline.models.detect:DETECTOR_FIT",
)
