import pandas as pd
import pytest

from wbc_pipeline.evaluation.audit.gaps import (
    CLASSES,
    OTHER,
    analyse_gaps,
    compare_gaps,
    count_shared_files,
    harmonise,
)
from wbc_pipeline.sources.listing import as_listing


def listing(label: str, cells: int, **columns) -> pd.DataFrame:
    return as_listing(
        {"image_id": f"{label}/{i}.png", "path": "", "label": label} | columns for i in range(cells)
    )


@pytest.mark.parametrize(
    ("code", "labels"),
    {
        "BA": ["baso", "basophil", "BA", "Basophils"],
        "SNE": ["seg_neutrophil", "SNE", "segmented neutrophil", "Seg-Neutrophil"],
        "NE": ["neutrophil", "NEUTROPHIL", "neut"],
        "LY": ["lymp", "lymphocyte", "LY"],
        "BL": ["myeloblast", "lymphoblast", "blast", "BL"],
        "PMY": ["PMY", "promyelocyte"],
        "IG": ["ig", "immature granulocyte"],
        "ERB": ["erythroblast", "ERB"],
        "PLT": ["platelet", "PLATELET"],
        "HEALTHY": ["healthy"],
        "SEVERAL": ["neutrophil, eosinophil", "basophil;basophil", "a/b"],
        None: [None, float("nan"), "smudge", "neutro", "", "0", "1", "NA"],
    }.items(),
)
def test_labels_of_public_sets_are_recognised(code, labels):
    assert [harmonise(label) for label in labels] == [code] * len(labels)


def test_every_code_and_name_is_its_own_synonym():
    for code, name in (CLASSES | OTHER).items():
        if code not in ("SEVERAL", "UNKNOWN"):
            assert harmonise(code) == harmonise(name) == code


def test_classes_that_nobody_has_are_gaps():
    counts, _, gaps = analyse_gaps({"a": listing("baso", 120), "b": listing("BA", 30)})
    assert counts.set_index("code").loc["BA", ["a", "b", "total"]].tolist() == [120, 30, 150]
    assert len(gaps) == len(CLASSES) - 1
    assert set(gaps["gap"]) == {"in no set"}


def test_few_cells_and_one_laboratory_are_gaps():
    sets = {"a": listing("plasma cell", 3), "b": listing("monocyte", 200, domain="Munich")}
    gaps = analyse_gaps(sets)[2].set_index("code")["gap"]
    assert gaps["PC"] == "fewer than 100 cells"
    assert gaps["MO"] == "one laboratory only (Munich)"


def test_two_sets_of_one_laboratory_are_one_domain():
    sets = {name: listing("monocyte", 200, domain="Munich") for name in "ab"}
    row = analyse_gaps(sets)[0].set_index("code").loc["MO"]
    assert (row["domains"], row["confounded_with"]) == (1, "Munich")


def test_copies_of_a_source_are_one_cell_and_images_of_unknown_source_none():
    copies = listing("monocyte", 30)
    copies["source_id"] = [f"photograph-{i % 4}" for i in range(28)] + [None, None]
    counts, imbalance, _ = analyse_gaps({"copies": copies})
    assert counts.set_index("code").loc["MO", "copies"] == 4
    assert imbalance.loc[0, ["images", "cells"]].tolist() == [30, 4]


def test_the_same_file_in_two_sets_counts_once():
    first = listing("monocyte", 30).assign(sha256=[str(i) for i in range(30)])
    second = listing("MO", 10).assign(sha256=[str(i) for i in range(25, 35)])
    row = analyse_gaps({"first": first, "second": second})[0].set_index("code").loc["MO"]
    assert row[["first", "second", "total"]].tolist() == [30, 10, 35]


def test_copies_and_their_originals_count_once():
    copies = listing("monocyte", 12, domain="lab").assign(sha256=[f"copy {i}" for i in range(12)])
    copies["source_id"] = [f"photograph-{i // 4}" for i in range(12)]
    originals = listing("mono", 3, domain="lab").assign(sha256=["0", "1", "2"])
    originals["source_id"] = [f"photograph-{i}" for i in range(3)]
    row = analyse_gaps({"copies": copies, "originals": originals})[0].set_index("code").loc["MO"]
    assert row[["copies", "originals", "total"]].tolist() == [3, 3, 3]


def test_imbalance_is_that_of_recognised_cells():
    images = {"baso": 40, "mono": 4, "smudge": 1, "baso, mono": 1}
    table = pd.concat([listing(*part) for part in images.items()], ignore_index=True)
    counts, imbalance, _ = analyse_gaps({"a": table})
    row = imbalance.iloc[0]
    assert row[["images", "classes", "largest", "smallest"]].tolist() == [46, 2, "BA", "MO"]
    assert row["imbalance_ratio"] == 10
    assert counts.set_index("code").loc[["SEVERAL", "UNKNOWN"], "total"].tolist() == [1, 1]


def test_refused_files_do_not_count():
    table = listing("baso", 10).assign(status=["ok"] * 6 + ["truncated: half a file"] * 4)
    assert analyse_gaps({"a": table})[0].set_index("code").loc["BA", "total"] == 6


def test_without_sets_everything_is_missing():
    counts, imbalance, gaps = analyse_gaps({})
    assert counts["code"].tolist() == [*CLASSES]
    assert imbalance.empty
    assert len(gaps) == len(CLASSES)


def test_codes_of_classes_are_counted_as_not_recognised():
    cells = pd.concat([listing(code, 5) for code in ("0", "1", "NA")], ignore_index=True)
    counts, imbalance, _ = analyse_gaps({"a": cells})
    assert counts.set_index("code").loc["UNKNOWN", ["a", "total"]].tolist() == [15, 15]
    assert imbalance.loc[0, ["images", "classes"]].tolist() == [15, 0]


def test_shared_files_are_counted_with_their_own_labels_for_each_other_set():
    own = pd.concat([listing(label, 2) for label in ("NA", "0", "1")], ignore_index=True)
    own = own.assign(sha256=[*"abcdef"])
    others = {
        "shares three": listing("BA", 4).assign(sha256=[*"bxdc"]),
        "shares none": listing("BA", 2).assign(sha256=[*"yz"]),
        "shares one": listing("BA", 1).assign(sha256=["f"]),
    }
    shared = count_shared_files(own, others)
    assert [*shared.itertuples(index=False, name=None)] == [
        ("shares three", 3, "0, NA", "NA/1.png"),
        ("shares one", 1, "1", "1/1.png"),
    ]


def test_files_that_were_refused_or_not_read_are_not_shared():
    own = listing("baso", 3).assign(sha256=["a", None, "c"])
    other = listing("BA", 2).assign(sha256=["c", None])
    assert count_shared_files(own, {"other": other})["files"].tolist() == [1]
    own["status"] = ["ok", "ok", "truncated: half a file"]
    assert count_shared_files(own, {"other": other}).empty


def test_printed_gaps_stand_beside_the_cells_that_are_elsewhere():
    own = pd.concat([listing("SNE", 10), listing("BNE", 5), listing("LY", 3)])
    sets = {"own": own, "small": listing("neutrophil", 20), "large": listing("seg_neutrophil", 40)}
    printed = {
        "neutrophil": {
            "codes": ["SNE", "BNE", "NE"],
            "images": 15048,
            "others": "PBC",
            "gain": "x",
        },
        "prolymphocyte": {"codes": ["PLY"], "images": 13, "others": "none", "gain": "0.0"},
    }
    table = compare_gaps(analyse_gaps(sets)[0], printed, dataset="own").set_index("class")
    row = table.loc["neutrophil"]
    assert row[["cells", "cells_elsewhere", "largest", "gain"]].tolist() == [15, 60, "large", 4]
    assert row[["printed_images", "printed_others"]].tolist() == [15048, "PBC"]
    lacking = table.loc["prolymphocyte"]
    assert lacking[["cells", "largest"]].tolist() == [0, ""] and pd.isna(lacking["gain"])
