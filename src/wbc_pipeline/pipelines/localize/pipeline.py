"""White cells found by colour and by detectors, on the data set whose boxes are annotated."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.ingestion.pipeline import create_pipeline as ingestion_pipeline
from wbc_pipeline.pipelines.localize import nodes

ROLE = "annotated"  # of the data set that detectors learn from
ROOM = "localize.localization"
FOUND = ("truth", "annotated", "detectors", "detections", "colour_regions", "overlaps")
OWN_INPUTS = {
    "annotated_manifest": f"{ROLE}_manifest",
    "annotated_images": f"{ROLE}_images",
    "boxes_from": "params:boxes",
    **{name: f"{ROOM}.{name}" for name in FOUND},
}


def create_pipeline() -> Pipeline:
    """Ingest the annotated data set, find cells by every method, and match them."""
    manifest, images, boxes = (f"{ROLE}_{name}" for name in ("manifest", "images", "boxes"))
    options = f"params:{ROOM}"
    truth, annotated, detectors, detections, colour_regions, overlaps = (
        f"{ROOM}.{name}" for name in FOUND
    )
    frames = f"{ROOM}.frames"

    def step(func, inputs, output, tag=None):
        return node(func, inputs, output, name=func.__name__, namespace=ROOM, tags=tag)

    return ingestion_pipeline(ROLE) + Pipeline(
        [
            step(nodes.list_true_boxes, [manifest, boxes, images, options], truth),
            step(
                nodes.split_annotated,
                [manifest, boxes, truth, options, "params:seeds"],
                annotated,
            ),
            step(
                nodes.make_frames,
                [images, manifest, annotated, options, "params:preprocessing"],
                frames,
                "preprocessing",
            ),
            step(
                nodes.train_detectors,
                {
                    "manifest": manifest,
                    "truth": truth,
                    "annotated": annotated,
                    "frames": frames,
                    "options": options,
                    "dataset": "params:boxes",
                    "device": "params:device",
                },
                detectors,
                "training",
            ),
            step(
                nodes.detect_cells,
                {
                    "manifest": manifest,
                    "annotated": annotated,
                    "frames": frames,
                    "detectors": detectors,
                    "options": options,
                    "device": "params:device",
                },
                detections,
                "prediction",
            ),
            step(
                nodes.find_by_colour,
                [manifest, annotated, images, options],
                colour_regions,
                "prediction",
            ),
            step(
                nodes.score_localization,
                {
                    "manifest": manifest,
                    "truth": truth,
                    "annotated": annotated,
                    "detections": detections,
                    "colour_regions": colour_regions,
                    "options": options,
                },
                overlaps,
                "reporting",
            ),
        ]
    )
