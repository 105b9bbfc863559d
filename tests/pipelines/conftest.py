from pathlib import Path

import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def run_pipeline():
    """Run a pipeline with ``--env=test`` and run-time parameters, as the command line does."""
    bootstrap_project(PROJECT)

    def run(name, data, **parameters):
        from kedro.framework.project import pipelines

        runtime = {"data": str(data), **parameters}
        with KedroSession.create(PROJECT, env="test", runtime_params=runtime) as session:
            session.run(pipeline_names=[name])
        pipelines.set_requested(None)  # else later sessions know this one alone

    return run


@pytest.fixture(scope="session")
def blended(run_pipeline, tmp_path_factory):
    """The outputs of one whole run of ``blend``."""
    data = tmp_path_factory.mktemp("blended")
    run_pipeline("blend", data)
    return data
