from pathlib import Path

import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def run_pipeline():
    """Run a pipeline with ``--env=test`` and run-time parameters, as the command line does."""
    bootstrap_project(PROJECT)

    def run(name, data, *, env="test", conf=None, how=None, **parameters):
        from kedro.framework.project import pipelines

        runtime = {"data": str(data), **parameters}
        source = None if conf is None else str(conf)
        try:
            with KedroSession.create(
                PROJECT, env=env, runtime_params=runtime, conf_source=source
            ) as session:
                session.run(pipeline_names=[name], **(how or {}))
        finally:
            pipelines.set_requested(None)  # else later sessions know this one alone

    return run


def thin_out(download, folder, *, every_copy, photographs):
    """Some of the augmented copies, and the first of the photographs that they were made from."""
    originals = Path("dataset-master/dataset-master")
    (folder / originals / "JPEGImages").mkdir(parents=True)
    for name in ("Annotations", "labels.csv"):
        (folder / originals / name).symlink_to(download / originals / name)
    for file in sorted((download / originals / "JPEGImages").glob("*.jpg"))[:photographs]:
        (folder / file.relative_to(download)).symlink_to(file)
    images = download / "dataset2-master/dataset2-master/images"
    for place in (*images.glob("TRAIN/*"), *images.glob("TEST/*")):
        copies = folder / place.relative_to(download)
        copies.mkdir(parents=True)
        for file in sorted(place.iterdir())[::every_copy]:
            (copies / file.name).symlink_to(file)


@pytest.fixture(scope="session")
def few_copies(real_data, tmp_path_factory):
    """Every hundredth copy, and all photographs."""
    raw = tmp_path_factory.mktemp("raw")
    thin_out(real_data / "blood-cells", raw / "blood-cells", every_copy=100, photographs=None)
    return raw


@pytest.fixture
def few_photographs(real_data, tmp_path):
    """A few copies and photographs: quick, though most copies show none of these."""
    raw = tmp_path / "raw"
    thin_out(real_data / "blood-cells", raw / "blood-cells", every_copy=120, photographs=12)
    return raw


@pytest.fixture(scope="session")
def blended(run_pipeline, tmp_path_factory):
    """The outputs of one whole run of ``blend``."""
    data = tmp_path_factory.mktemp("blended")
    run_pipeline("blend", data)
    return data
