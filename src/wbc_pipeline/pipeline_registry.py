"""The pipelines that ``kedro run`` knows."""

from kedro.pipeline import Pipeline

from wbc_pipeline.pipelines import blend, ingestion, splitting


def register_pipelines() -> dict[str, Pipeline]:
    """Give each pipeline by name; a paper's begins with the raw images."""
    data = ingestion.create_pipeline() + splitting.create_pipeline()
    papers = {"blend": data + blend.create_pipeline()}
    return {"ingestion": ingestion.create_pipeline(), **papers, "__default__": papers["blend"]}
