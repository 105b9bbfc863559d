"""Small image sets with known defects: copies, two laboratories, and codes for classes."""

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.audit import leaks
from wbc_pipeline.evaluation.audit import tables as audit
from wbc_pipeline.imaging.packing import accepted

EMPTY = ["guesses", "suspects", "unjudged", "recovery", "overlaps", "shared_files"]
TEXT = ["label", "source_id", "source_group", "filename_group", "domain", "published_part"]


def make_manifest(rows: pd.DataFrame) -> pd.DataFrame:
    """Fill in what a test does not care about: every image ok, of one size, and its own file."""
    ids = [f"images/{i}.png" for i in range(len(rows))]
    defaults = {"image_id": ids, "width": 320, "height": 240, "sha256": ids, "status": "ok"}
    manifest = pd.DataFrame(defaults | dict.fromkeys(TEXT)).assign(**rows)
    if "source_group" not in rows:
        manifest["source_group"] = manifest["source_id"]
    return manifest.astype(dict.fromkeys(TEXT, "str"))


def make_copies() -> pd.DataFrame:
    """60 copies of 20 photographs of neutrophils, 60 of 4 of monocytes; names tell nothing."""
    photograph = np.r_[np.repeat(np.arange(20), 3), np.repeat(np.arange(20, 24), 15)]
    return make_manifest(
        pd.DataFrame(
            {
                "label": np.where(photograph < 20, "neutrophil", "monocyte"),
                "source_id": [f"photograph-{i}" for i in photograph],
                "filename_group": [str(i % 5) for i in range(120)],
                "published_part": np.where(photograph % 4 == 0, "test", "train"),
            }
        )
    )


def make_laboratories() -> pd.DataFrame:
    """40 cells of two classes from one laboratory, 40 of two others from another; a pair twice."""
    label = np.repeat(["basophil", "monocyte", "myeloblast", "neutrophil"], 20)
    rows = pd.DataFrame({"label": label, "domain": np.repeat(["Barcelona", "Munich"], 40)})
    manifest = make_manifest(rows)
    manifest.loc[1, "sha256"] = manifest.loc[0, "sha256"]
    cell = manifest["image_id"].replace({"images/1.png": "images/0.png"})
    return manifest.assign(source_id=cell, source_group=cell)


def make_codes() -> pd.DataFrame:
    """64 cells of classes that look like numbers or nothing; a file and a cell under two labels."""
    label = np.repeat(["0", "1", "NA"], [40, 20, 4])
    manifest = make_manifest(
        pd.DataFrame(
            {
                "label": label,
                "domain": np.where(label == "NA", "Munich", "Barcelona"),
                "source_id": [f"cell-{i % 63}" for i in range(64)],
                "filename_group": [str(i % 5) for i in range(64)],
                "width": np.where(label == "NA", 400, 320),
            }
        )
    )
    manifest.loc[63, "sha256"] = manifest.loc[0, "sha256"]
    return manifest


def make_groups(manifest: pd.DataFrame) -> pd.DataFrame:
    """Duplicates as the files tell them."""
    group, files = pd.factorize(manifest["sha256"])[0], manifest["sha256"]
    return pd.DataFrame({"group": group, "duplicate_group": group, "pixel_hash": files})


def make_splits(manifest: pd.DataFrame, **unit_of: str) -> pd.DataFrame:
    """Split by protocol: the units of the named column go round the parts, for two seeds."""
    tables = []
    for protocol, column in unit_of.items():
        for seed in (0, 1):
            unit = pd.factorize(manifest[column])[0] + seed
            part = np.array(["test", "train", "validation", "train"])[unit % 4]
            split = {"image_id": manifest["image_id"], "protocol": protocol, "seed": seed}
            tables.append(pd.DataFrame(split | {"part": part}))
    return pd.concat(tables, ignore_index=True)


def make_metrics(**accuracy: float) -> pd.DataFrame:
    """Scores by protocol, two seeds each, one point apart, intervals of four points."""
    rows = [
        {"variant": "cnn", "protocol": protocol, "seed": seed, "condition": "clean"}
        | {"images": 50, "sources": 10}
        | {"accuracy": mean + shift, "macro_f1": mean - 0.02 + shift}
        for protocol, mean in accuracy.items()
        for seed, shift in ((0, -0.005), (1, 0.005))
    ]
    metrics = pd.DataFrame(rows)
    for name in leaks.PRICES:
        metrics[f"{name}_low"], metrics[f"{name}_high"] = metrics[name] - 0.02, metrics[name] + 0.02
    return metrics


def make_tables(manifest: pd.DataFrame, splits: pd.DataFrame, **others: pd.DataFrame) -> dict:
    """All that ``find_defects`` reads; what a test does not give is empty or not known."""
    sizes, rejects = audit.describe_files(manifest)
    summary, explained = audit.summarise_measurements(
        others.pop("measurements", pd.DataFrame(index=range(len(accepted(manifest))))), manifest
    )
    found = {
        "classes": audit.count_images(manifest, by=["label"]),
        "sizes": sizes,
        "rejects": rejects,
        "summary": summary,
        "explained": explained,
        "duplicates": audit.list_duplicates(manifest, make_groups(accepted(manifest))),
        "conflicts": audit.list_conflicts(manifest),
        "leaks": leaks.measure_leaks(splits, manifest),
        "filename_groups": audit.examine_filename_groups(manifest),
        "confounding": audit.measure_confounding(manifest),
        "price": leaks.price_of_leak(others.pop("metrics", pd.DataFrame())),
    }
    empty = dict.fromkeys(EMPTY, pd.DataFrame())
    return empty | {"patients_known": False} | found | others
