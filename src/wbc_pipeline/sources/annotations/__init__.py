"""Boxes and masks that users bring: COCO, YOLO, PASCAL VOC and CSV, each read by one module.

Each has a function ``read`` that gives a list of `common.Annotation`, one per annotated image;
`attach` brings them to the rows of a listing.
"""
