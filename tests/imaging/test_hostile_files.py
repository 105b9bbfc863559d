"""One folder of everything that goes wrong with image files, read as a user's own set is."""

import csv
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from wbc_pipeline.imaging.packing import build_manifest, pack_images
from wbc_pipeline.sources import image_folder, table

SIZE = 32
ROWS, COLUMNS = np.mgrid[0:SIZE, 0:SIZE]
# Smooth, so that JPEG keeps it; a wrong turn or swapped channels show.
PIXELS = np.stack([COLUMNS * 6, ROWS * 7, 200 - COLUMNS * 3], axis=-1).astype(np.uint8)
GREY = np.dstack([PIXELS[..., 0]] * 3)
RGB = Image.fromarray(PIXELS)
TURN_RIGHT = Image.Exif()
TURN_RIGHT[0x112] = 6


def saved(image, **options):
    return lambda path: image.save(path, **options)


def written(data):
    return lambda path: path.write_bytes(data)


def cut_jpeg(path):
    RGB.save(path, "JPEG", quality=95)
    path.write_bytes(path.read_bytes()[:-20])


def bomb(path):
    """A small file whose header promises 60,000 x 60,000 pixels."""
    RGB.save(path, "PNG")
    png = path.read_bytes()
    header = b"IHDR" + struct.pack(">II", 60000, 60000) + png[24:29]
    path.write_bytes(png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:])


def unreadable(path):
    RGB.save(path, "PNG")
    path.chmod(0)


def broken_link(path):
    path.symlink_to(path.with_name("gone.png"))


HALF = Image.fromarray(np.dstack([PIXELS, np.full((SIZE, SIZE), 128, np.uint8)]))
SIXTEEN = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)
PNG, JPEG = {"format": "PNG"}, {"format": "JPEG", "quality": 95}

ACCEPTED = {
    "plain.png": (saved(RGB), PIXELS),
    "png named.jpg": (saved(RGB, **PNG), PIXELS),
    "no extension": (saved(RGB, **PNG), PIXELS),
    "cmyk.jpg": (saved(RGB.convert("CMYK"), **JPEG), PIXELS),
    "16-bit.png": (saved(SIXTEEN), GREY),
    "grey.png": (saved(Image.fromarray(PIXELS[..., 0])), GREY),
    "palette.png": (saved(RGB.quantize(255)), PIXELS),
    "alpha.png": (saved(HALF), PIXELS // 2 + 127),
    "turned.jpg": (saved(RGB, exif=TURN_RIGHT, **JPEG), np.rot90(PIXELS, -1)),
    'it\'s a "cell", naïve 细胞.png': (saved(RGB), PIXELS),
}

REFUSED = {
    "cut.jpg": (cut_jpeg, "incomplete file"),
    "empty.png": (written(b""), "empty file"),
    "text.png": (written(b"label,file\n"), "not an image"),
    "animated.gif": (
        saved(RGB, save_all=True, append_images=[RGB.rotate(180)]),
        "more than one picture in the file",
    ),
    "bomb.png": (bomb, "more pixels than the cap: 3,600,000,000 (60000 x 60000), over the cap of"),
    "broken link.png": (broken_link, "broken link"),
    "unreadable.png": (unreadable, "no permission to read"),
    # What stands beside an image: such files are whole, and refused for what is listed of them.
    "mask.png": (saved(RGB), "mask of another size than its image: 32 x 31 against 32 x 32"),
    "box.png": (saved(RGB), "box outside the image: [20, 20, 40, 30] in 32 x 32"),
    "problem.png": (saved(RGB), "file name tells no label: 'problem.png'"),
}

HOSTILE = {name: write for name, (write, _) in (ACCEPTED | REFUSED).items()}


def list_folder(home):
    return image_folder.list_images(home, folder=".")


def list_table(home):
    names = [path.relative_to(home).as_posix() for path in sorted(home.glob("*/*"))]
    with open(home / "images.csv", "w", newline="", encoding="utf-8") as file:
        rows = [("path", "label"), *((name, name.split("/")[0]) for name in names)]
        csv.writer(file).writerows(rows)
    return table.list_images(home, file="images.csv")


def told_beside(listing, home):
    """Add what these sources cannot tell: a mask, a box, and a problem."""
    Image.new("L", (SIZE, SIZE - 1)).save(home / "small mask.png")
    listing = listing.set_index("image_id", drop=False)
    listing.at["hostile/mask.png", "mask_path"] = str(home / "small mask.png")
    listing.at["hostile/box.png", "box"] = [20, 20, 40, 30]
    listing.at["hostile/problem.png", "problem"] = REFUSED["problem.png"][1]
    return listing.reset_index(drop=True)


@pytest.fixture(scope="module", params=[list_folder, list_table])
def packed(request, tmp_path_factory):
    """Status by name, and the pixels of those that are ok."""
    home = tmp_path_factory.mktemp("hostile_set")
    for folder, names in {"hostile": HOSTILE, "good": ["plain.png"]}.items():
        (home / folder).mkdir()
        for name in names:
            HOSTILE[name](home / folder / name)
    listing = told_beside(request.param(home), home)
    target = home / "packed" / "images.npy"
    outcome = pack_images(listing, target, image_size=SIZE, workers=2, progress=False)
    manifest = build_manifest(listing, outcome)
    status = pd.Series(manifest["status"].tolist(), manifest["image_id"])
    names = [Path(image_id).name for image_id in status.index[status == "ok"]]
    return status, dict(zip(names, np.load(target), strict=True))


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_odd_but_whole_image_is_accepted_with_its_right_pixels(name, packed):
    status, pixels = packed
    assert status[f"hostile/{name}"] == "ok"
    assert np.abs(pixels[name].astype(int) - ACCEPTED[name][1]).mean() < 3


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_file_is_refused_with_a_reason_that_names_the_defect(name, packed):
    if name == "unreadable.png" and os.geteuid() == 0:
        pytest.skip("root may read everything")
    status, _ = packed
    assert status[f"hostile/{name}"].startswith(REFUSED[name][1])


def test_no_hostile_file_stops_the_rest(packed):
    status, pixels = packed
    assert len(status) == len(HOSTILE) + 1
    assert status["good/plain.png"] == "ok"
    assert set(ACCEPTED) <= set(pixels)
