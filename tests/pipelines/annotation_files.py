"""The same annotations, written as COCO, YOLO and PASCAL VOC."""

import json

WIDTH, HEIGHT = 24, 16


def write_coco(file, objects, size=(WIDTH, HEIGHT)):
    """``objects``: a list of (name, [x, y, width, height]) by image; each is outlined too."""
    names = sorted({name for of in objects.values() for name, _ in of})
    images, annotations = [], []
    for number, (image, of) in enumerate(objects.items()):
        key = 7 + 13 * number
        images.append({"id": key, "file_name": image, "width": size[0], "height": size[1]})
        for name, (x, y, w, h) in of:
            corners = [x, y, x + w, y, x + w, y + h, x, y + h]
            annotations.append(
                {
                    "id": 100 - len(annotations),
                    "image_id": key,
                    "category_id": 3 + 5 * names.index(name),
                    "bbox": [x, y, w, h],
                    "segmentation": [corners],
                }
            )
    categories = [{"id": 3 + 5 * number, "name": name} for number, name in enumerate(names)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    file.write_text(json.dumps(content))


def write_yolo(folder, objects, size=(WIDTH, HEIGHT)):
    names = sorted({name for of in objects.values() for name, _ in of})
    (folder / "classes.txt").write_text("\n".join(names))
    for image, of in objects.items():
        lines = [
            f"{names.index(name)} {(x + w / 2) / size[0]:.6f} {(y + h / 2) / size[1]:.6f} "
            f"{w / size[0]:.6f} {h / size[1]:.6f}\n"
            for name, (x, y, w, h) in of
        ]
        file = (folder / image).with_suffix(".txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(lines))
