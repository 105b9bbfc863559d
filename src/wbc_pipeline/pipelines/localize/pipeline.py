"""White cells found by colour and by detectors, on the data set whose boxes are annotated."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.ingestion.pipeline import create_pipeline as ingestion_pipeline
from wbc_pipeline.pipelines.localize import nodes, split_views

ROLE = "annotated"  # of the data set that detectors learn from
ROOM = "localize.localization"
CUTTING = "localize.cutting"  # apart, since it waits for splits, and detectors do not
SELECTED = {"variants": "params:localize.variants", "chosen": "params:variants"}
FOUND = ("truth", "annotated", "fields", "detectors", "detections", "colour_regions", "overlaps")
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
    truth, annotated, fields, detectors, detections, colour_regions, overlaps = (
        f"{ROOM}.{name}" for name in FOUND
    )
    frames, scenes = f"{ROOM}.frames", f"{ROOM}.scenes"
    split_detectors, cut = f"{CUTTING}.split_detectors", f"{CUTTING}.cut"

    def step(func, inputs, output, tag=None, *, namespace=ROOM):
        return node(func, inputs, output, name=func.__name__, namespace=namespace, tags=tag)

    return ingestion_pipeline(ROLE) + Pipeline(
        [
            step(nodes.list_true_boxes, [manifest, boxes, images, options], truth),
            step(
                nodes.split_annotated,
                {
                    "manifest": manifest,
                    "boxes": boxes,
                    "truth": truth,
                    "options": options,
                    "protocols": "params:protocols",
                    "seeds": "params:seeds",
                },
                annotated,
            ),
            step(
                nodes.make_frames,
                {
                    "images": images,
                    "manifest": manifest,
                    "annotated": annotated,
                    "options": options,
                    "preprocessing": "params:preprocessing",
                    **SELECTED,
                },
                frames,
                "preprocessing",
            ),
            step(
                nodes.draw_scenes,
                [images, manifest, truth, annotated, options],
                scenes,
                "preprocessing",
            ),
            step(
                nodes.draw_fields,
                [images, manifest, truth, annotated, options],
                fields,
                "preprocessing",
            ),
            step(
                nodes.train_detectors,
                {
                    "manifest": manifest,
                    "truth": truth,
                    "annotated": annotated,
                    "frames": frames,
                    "scenes": scenes,
                    "options": options,
                    "dataset": "params:boxes",
                    "device": "params:device",
                },
                detectors,
                "training",
            ),
            step(
                split_views.train_split_detectors,
                {
                    "manifest": "manifest",
                    "splits": "splits",
                    "annotated_manifest": manifest,
                    "truth": truth,
                    "annotated": annotated,
                    "frames": frames,
                    "options": options,
                    "dataset": "params:boxes",
                    "device": "params:device",
                    **SELECTED,
                },
                split_detectors,
                "training",
                namespace=CUTTING,
            ),
            step(
                split_views.cut_views,
                {
                    "images": "images",
                    "manifest": "manifest",
                    "splits": "splits",
                    "chains": "params:localize.views",
                    "split_detectors": split_detectors,
                    "preprocessing": "params:preprocessing",
                    **SELECTED,
                },
                cut,
                "preprocessing",
                namespace=CUTTING,
            ),
            step(
                split_views.open_cut_views,
                [cut, split_detectors],
                "localize.cut",
                ["preprocessing", "training", "prediction"],  # what begins there needs it too
                namespace=CUTTING,
            ),
            step(
                nodes.detect_cells,
                {
                    "manifest": manifest,
                    "images": images,
                    "annotated": annotated,
                    "fields": fields,
                    "detectors": detectors,
                    "options": options,
                    "device": "params:device",
                },
                detections,
                "prediction",
            ),
            step(
                nodes.find_by_colour,
                [manifest, annotated, images, fields, options],
                colour_regions,
                "prediction",
            ),
            step(
                nodes.score_localization,
                {
                    "manifest": manifest,
                    "truth": truth,
                    "annotated": annotated,
                    "fields": fields,
                    "detections": detections,
                    "colour_regions": colour_regions,
                    "options": options,
                },
                overlaps,
                "reporting",
            ),
        ]
    )
