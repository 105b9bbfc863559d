"""The pipelines that ``kedro run`` knows."""

from kedro.pipeline import Pipeline

from wbc_pipeline.pipelines import (
    audit,
    compare,
    ingestion,
    predict,
    preprocessing,
    prune,
    quality,
    roi,
    splitting,
)
from wbc_pipeline.pipelines.paper import paper_pipeline
from wbc_pipeline.pipelines.papers import PAPERS


def register_pipelines() -> dict[str, Pipeline]:
    """Give each pipeline by name; a paper's begins with the raw images."""
    images = ingestion.create_pipeline()
    data = images + splitting.create_pipeline()
    papers = {paper.name: data + paper_pipeline(paper) for paper in PAPERS}
    return {
        "ingestion": images,
        "splitting": data,
        "preprocessing": images + preprocessing.create_pipeline(),
        "roi": images + roi.create_pipeline(),
        "audit": images + audit.create_pipeline(),
        "quality": images + quality.create_pipeline(),
        "compare": compare.create_pipeline(),
        "predict": predict.create_pipeline(),
        "likeness": predict.create_likeness_pipeline(),
        "export": predict.create_export_pipeline(),
        "prune": prune.create_pipeline(),
        **papers,
        "__default__": papers[PAPERS[0].name],
    }
