"""The pipelines that ``kedro run`` knows."""

from kedro.pipeline import Pipeline

from wbc_pipeline.pipelines import (
    audit,
    blend,
    ingestion,
    localize,
    preprocessing,
    quality,
    roi,
    separable,
    splitting,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Give each pipeline by name; a paper's begins with the raw images."""
    images = ingestion.create_pipeline()
    data = images + splitting.create_pipeline()
    papers = {
        "blend": data + blend.create_pipeline(),
        "separable": data + separable.create_pipeline(),
        "localize": data + localize.create_pipeline(),
    }
    return {
        "ingestion": images,
        "preprocessing": images + preprocessing.create_pipeline(),
        "roi": images + roi.create_pipeline(),
        "audit": images + audit.create_pipeline(),
        "quality": images + quality.create_pipeline(),
        **papers,
        "__default__": papers["blend"],
    }
