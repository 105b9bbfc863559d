"""A trained model's answers on images of users: table, overlays, contact sheet, page."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.predict import nodes


def create_likeness_pipeline() -> Pipeline:
    """Check how well a model tells images unlike its training data from those like it."""
    return Pipeline(
        [
            node(
                nodes.check_likeness,
                {
                    "files": "predict.files",
                    "model": "predict.model",
                    "home": "predict.home",
                    "max_pixels": "params:ingestion.max_pixels",
                    "device": "params:device",
                    "options": "params:predict",
                },
                "predict.likeness",
                name="check_likeness",
                namespace="predict",
            )
        ],
        tags="predict",
    )


def create_export_pipeline() -> Pipeline:
    """Write a model as an ONNX file, which runs without this project."""
    return Pipeline(
        [
            node(
                nodes.export_model,
                {"model": "predict.model"},
                "predict.onnx",
                name="export_model",
                namespace="predict",
            )
        ],
        tags="predict",
    )


def create_pipeline() -> Pipeline:
    """Ask a model about image files, and report what it answers; needs no data set."""
    shared = {"options": "params:predict"}
    return Pipeline(
        [
            node(
                nodes.carry_model,
                {"model": "predict.model", "home": "predict.home", **shared},
                "predict.portable",
                name="carry_model",
                namespace="predict",
            ),
            node(
                nodes.ask_model,
                {
                    "files": "predict.files",
                    "model": "predict.model",
                    "max_pixels": "params:ingestion.max_pixels",
                    "device": "params:device",
                    **shared,
                },
                "predict.answers",
                name="ask_model",
                namespace="predict",
            ),
            node(
                nodes.tabulate,
                {"answers": "predict.answers"},
                ["predict.cells", "predict.unreadable", "predict.overlays"],
                name="tabulate",
                namespace="predict",
            ),
            node(
                nodes.summarise,
                {"answers": "predict.answers", "cells": "predict.cells", "files": "predict.files"},
                "predict.report.items",
                name="summarise",
                namespace="predict.report",
            ),
            node(
                nodes.write_page,
                {
                    "answers": "predict.answers",
                    "files": "predict.files",
                    "model": "predict.model",
                    "command": "command",
                    "cells": "predict.cells",
                    "unreadable": "predict.unreadable",
                    "items": "predict.report.items",
                    **shared,
                },
                "predict.report.report",
                name="write_page",
                namespace="predict.report",
            ),
        ],
        tags="predict",
    )
