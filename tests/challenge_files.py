"""A small folder in the layout of the WBCBench 2026 challenge, made of images of PBC."""

import csv

import cv2

FOLDER = "wbc-bench-2026"
PREFIXES = {  # class -> folder and prefix of PBC's files; BL stands for a class that PBC lacks
    "SNE": ("neutrophil", "SNE"),
    "BNE": ("neutrophil", "BNE"),
    "LY": ("lymphocyte", "LY"),
    "EO": ("eosinophil", "EO"),
    "BL": ("erythroblast", "ERB"),
}
TABLES = {
    "phase1": "phase1_label.csv",
    "phase2/train": "phase2_train.csv",
    "phase2/eval": "phase2_eval.csv",
    "phase2/test": "phase2_test.csv",
}


def make_challenge(raw, pbc, *, cells=6, tested=2, told=True, labelled_test=False, parted=0):
    """Write the folder below ``raw``; return its path.

    Parameters
    ----------
    raw, pbc
        Folder to write into, and that of PBC.
    cells
        Pristine images of each class; every second has a degraded twin in ``phase2/train``. Of the
        first class one more patient gave two cells.
    tested
        Degraded images of each class in each of ``eval`` and ``test``.
    told
        Whether the tables say what an image was made from, and whose blood it is.
    labelled_test
        Whether the test part has labels.
    parted
        Of how many first images of each class ``eval`` has a further degraded twin.
    """
    home = raw / FOLDER
    rows = {part: [] for part in TABLES}
    number = 0

    def add(part, file, label, *, original="", patient, degraded):
        nonlocal number
        number += 1
        name = f"{number:08}.jpg"
        (home / part).mkdir(parents=True, exist_ok=True)
        image = cv2.imread(str(file))
        image = cv2.GaussianBlur(image, (0, 0), 3) // 2 if degraded else image
        cv2.imwrite(str(home / part / name), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
        row = {"ID": name, "labels": label, "": ""}  # a stray column, as some tables have
        more = {"original_image_id": original, "patient_hash": patient}
        rows[part].append(row | more if told else row)
        return name

    for label, (folder, prefix) in PREFIXES.items():
        files = iter(sorted((pbc / folder).glob(f"{prefix}_*")))
        for cell in range(cells):
            file, patient = next(files), f"{label}-{cell // 2}"
            known = {"patient": patient}
            name = add("phase1", file, label, degraded=False, **known)
            if cell % 2 == 0:
                add("phase2/train", file, label, original=name, degraded=True, **known)
            if cell < parted:
                add("phase2/eval", file, label, original=name, degraded=True, **known)
        for part in ("phase2/eval", "phase2/test"):
            for cell in range(tested):
                told_label = label if labelled_test or part.endswith("eval") else ""
                patient = f"{label}-{part}-{cell}"
                add(part, next(files), told_label, patient=patient, degraded=True)
    for part, table in TABLES.items():
        columns = list(rows[part][0])
        if not any(row["labels"] for row in rows[part]):
            columns.remove("labels")
        with (home / table).open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows[part])
    return home
