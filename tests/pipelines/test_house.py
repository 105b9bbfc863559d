"""What all papers share: variants of YAML, results that are kept, refusals in a sentence."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from kept_results import result_of, write_times

from wbc_pipeline.parameters.schema import ParameterError
from wbc_pipeline.planning import Plan
from wbc_pipeline.sources import demo

PROJECT = Path(__file__).parents[2]
FEW = {"variants": "normal", "protocols": "random", "tracking": {"enabled": False}}


@pytest.fixture
def conf(tmp_path):
    """A copy of the project's configuration whose ``local`` is as small as ``test``."""
    folder = shutil.copytree(PROJECT / "conf", tmp_path / "conf")
    shutil.rmtree(folder / "local")
    shutil.copytree(folder / "test", folder / "local")
    return folder


def start(data, pipeline, words, **options):
    command = [
        *(sys.executable, "-m", "kedro", "run", "--env=test"),
        *(f"--pipelines={pipeline}", f"--params=data={data},{words}"),
    ]
    return subprocess.Popen(
        [*options.pop("prefix", ()), *command],
        cwd=PROJECT,
        env={**os.environ, "KEDRO_DISABLE_TELEMETRY": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return output


def kept_files(data):
    """When each file that is no report was written."""
    return {
        path: when for path, when in write_times(data, "0[1-7]*/**/*").items() if path.is_file()
    }


def test_a_variant_and_an_ensemble_of_yaml_are_trained_predicted_reported_and_tracked(
    run_pipeline, conf, tmp_path
):
    local = conf / "local/parameters_blend.yml"
    parameters = yaml.safe_load(local.read_text())
    parameters["blend"]["variants"] = {
        "small": {"network": "normal_cnn", "arguments": {"filters": [4, 4, 4], "dense": 8}},
        "turned": {"network": "normal_cnn", "turns": True, "prior_correction": 0.5},
        "both": {"ensemble": ["normal", "small"], "combine": "weighted"},
        "best": {"best": 2, "of": ["normal", "small", "turned"], "combine": "by_class"},
    }
    everything = {"normal", "small", "turned", "both", "best"}
    local.write_text(yaml.safe_dump(parameters))
    data = tmp_path / "data"
    run_pipeline(
        "blend", data, env=None, conf=conf, variants="+".join(everything), protocols="source"
    )
    predictions = pd.read_parquet(data / "07_model_output/demo/blend/predictions.parquet")
    assert set(predictions["variant"]) == everything
    reports = data / "08_reporting/demo/blend"
    assert set(pd.read_csv(reports / "metrics.csv")["variant"]) == everything
    assert set(pd.read_csv(reports / "robustness.csv")["variant"]) == everything
    page = (reports / "report.html").read_text()
    assert "small" in page and "both" in page
    compared = pd.read_csv(reports / "ensembles_against_best.csv")
    assert set(compared["ensemble"]) == {"both", "best"}
    members = pd.read_csv(reports / "ensemble_weights.csv").groupby("variant")["member"].nunique()
    assert members.tolist() == [2, 2]
    folder = next((data / "06_models/demo/blend/turned").glob("source-*"))
    description = json.loads((folder / "network.json").read_text())
    assert (description["turns"], description["prior_correction"]) == (True, 0.5)
    counts = description["class_counts"]
    splits = pd.read_parquet(data / "05_model_input/demo/splits.parquet")
    assert sum(counts) == (splits.query("protocol == 'source'")["part"] == "train").sum()
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{data}/mlflow.db")
    experiment = client.get_experiment_by_name("blend")
    found = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.tags["variant"] for run in found) == sorted(everything)
    assert all("test/accuracy" in run.data.metrics for run in found)


def test_a_toy_paper_is_one_folder_one_file_of_parameters_and_an_entry_of_papers(conf, tmp_path):
    package = tmp_path / "toy_paper"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import pandas as pd\n"
        "from wbc_pipeline.evaluation.report.described import describe\n"
        "from wbc_pipeline.pipelines.paper import Paper\n\n\n"
        "def count(predictions: pd.DataFrame) -> dict:\n"
        "    table = predictions['variant'].value_counts().reset_index()\n"
        "    return {'answers': describe(table, 'Answers', 'How many each gave.')}\n\n\n"
        "PAPER = Paper('toy', own_nodes=(count,))\n"
    )
    blend = yaml.safe_load((conf / "base/parameters_blend.yml").read_text())["blend"]
    toy = blend | {"variants": {"normal": {"network": "normal_cnn"}}, "published": {}}
    small = yaml.safe_load((conf / "test/parameters_blend.yml").read_text())["blend"]
    (conf / "base/parameters_toy.yml").write_text(yaml.safe_dump({"toy": toy}))
    (conf / "local/parameters_toy.yml").write_text(yaml.safe_dump({"toy": small}))
    code = (
        "import sys; sys.path.insert(0, {!r})\n"
        "import toy_paper, wbc_pipeline.pipelines.papers as papers\n"
        "papers.PAPERS = (*papers.PAPERS, toy_paper.PAPER)\n"
        "from kedro.framework.session import KedroSession\n"
        "from kedro.framework.startup import bootstrap_project\n"
        "bootstrap_project({!r})\n"
        "parameters = {{'data': {!r}, 'protocols': 'random', 'tracking': {{'enabled': False}}}}\n"
        "with KedroSession.create({!r}, conf_source={!r}, runtime_params=parameters) as session:\n"
        "    session.run(pipeline_names=['toy'])\n"
    ).format(*map(str, (tmp_path, PROJECT, tmp_path / "data", PROJECT, conf)))
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path)
    reports = tmp_path / "data/08_reporting/demo/toy"
    assert "How many each gave." in (reports / "report.html").read_text()
    assert pd.read_csv(reports / "answers.csv")["variant"].tolist() == ["normal"]


def test_local_configuration_counts_without_a_flag(run_pipeline, conf, tmp_path):
    (conf / "local/parameters.yml").write_text("seeds: never\n")
    with pytest.raises(ParameterError, match="seeds"):
        run_pipeline("ingestion", tmp_path, env=None, conf=conf)


@pytest.mark.parametrize(
    ("paper", "dataset", "boxes"),
    [
        ("blend", "leukemia5", "leukemia5"),
        ("separable", "blood_cells", "blood_cells"),
        ("localize", "blood_cells", "blood_cells_originals"),
        ("saliency", "segmentation_wbc", "segmentation_wbc"),
        ("challenge", "wbcbench", "wbcbench"),
    ],
)
def test_the_paper_chooses_its_data_unless_the_command_does(paper, dataset, boxes):
    from kedro.framework.project import pipelines, settings
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(PROJECT)

    def load(**runtime):
        return settings.CONFIG_LOADER_CLASS(
            str(PROJECT / "conf"),
            env="paper",
            runtime_params=runtime,
            **settings.CONFIG_LOADER_ARGS,
        )

    pipelines.set_requested([paper])
    try:
        own, said = load(), load(dataset="pbc", protocols="random")
        parameters = own["parameters"]
        assert (parameters["dataset"], parameters["boxes"]) == (dataset, boxes)
        assert parameters["protocols"] == parameters[paper]["paper"]["protocols"]
        assert f"/{dataset}/" in own["catalog"]["manifest"]["filepath"]
        assert f"/{boxes}/" in own["catalog"]["annotated_images"]["filepath"]
        assert (said["parameters"]["dataset"], said["parameters"]["boxes"]) == ("pbc", "pbc")
        assert said["parameters"]["protocols"] == "random"
    finally:
        pipelines.set_requested(None)


def test_data_set_and_folders_of_local_configuration_reach_the_catalogue(conf, tmp_path):
    from kedro.framework.project import settings
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(PROJECT)
    (conf / "local/parameters.yml").write_text(f"dataset: lisc\ndata: {tmp_path}\nraw: /slides\n")
    loader = settings.CONFIG_LOADER_CLASS(str(conf), env=None, **settings.CONFIG_LOADER_ARGS)
    catalog = loader["catalog"]
    assert catalog["manifest"]["filepath"] == f"{tmp_path}/02_intermediate/lisc/manifest.parquet"
    assert catalog["annotated_source"]["name"] == "lisc"
    assert catalog["source"]["filepath"] == "/slides"


def test_a_part_of_a_pipeline_does_not_report_what_was_not_asked_for(
    run_pipeline, blended, tmp_path
):
    data = shutil.copytree(blended, tmp_path / "data")
    with pytest.raises(ParameterError, match=r"random\+source with 1 seed"):
        run_pipeline("blend", data, how={"tags": ["reporting"]}, protocols="source")


def test_a_plan_that_cannot_be_followed_says_so():
    plan = Plan(unknown=["the folder is not there"])
    assert plan.describe() == "Beyond this nothing is known: the folder is not there"


@pytest.mark.parametrize("runner", ["ThreadRunner", "ParallelRunner"])
def test_runners_that_run_nodes_at_once_are_refused(run_pipeline, tmp_path, runner):
    import kedro.runner

    with pytest.raises(ParameterError, match=rf"--runner={runner} is refused"):
        run_pipeline("blend", tmp_path, how={"runner": getattr(kedro.runner, runner)()}, **FEW)


def test_more_devices_than_there_are_is_an_error_before_any_node(run_pipeline, tmp_path):
    with pytest.raises(ParameterError, match="64"):
        run_pipeline("blend", tmp_path, blend={"trainer": {"devices": 64}}, device="cpu", **FEW)
    assert not (tmp_path / "03_primary").exists()


@pytest.mark.parametrize(
    "how",
    [
        {"tags": ["reporting"]},
        {"namespaces": ["blend.report"]},
        {"from_nodes": ["blend.experiment.train"]},
    ],
)
def test_a_part_of_a_pipeline_says_which_command_comes_first(run_pipeline, tmp_path, how):
    with pytest.raises(ParameterError, match=r"run `kedro run --pipeline=blend` first"):
        run_pipeline("blend", tmp_path, how=how, **FEW)


def test_the_report_alone_can_be_made_again(run_pipeline, blended, tmp_path):
    data = shutil.copytree(blended, tmp_path / "data")
    report = data / "08_reporting/demo/blend/report.html"
    report.unlink()
    run_pipeline("blend", data, how={"tags": ["reporting"]}, tracking={"enabled": False})
    assert report.is_file()


def test_a_key_has_neither_device_nor_precision_nor_cores(blended):
    training = result_of(blended / "06_models/demo/blend", "normal/source-0")
    key = json.loads((training / "key.json").read_text())
    assert set(key) == {"params", "data", "code"}
    text = json.dumps([key["params"], key["data"]])
    assert not re.search(r"precision|channels_last|cuda|devices|hardware|cores", text)
    provenance = json.loads((training / "provenance.json").read_text())
    assert {"cores", "versions", "date", "command"} <= set(provenance)


def test_a_plan_says_what_would_be_made_and_why_and_makes_nothing(
    run_pipeline, blended, tmp_path, capsys
):
    data = shutil.copytree(blended, tmp_path / "data")
    before = kept_files(data)
    with pytest.raises(SystemExit):
        run_pipeline("blend", data, plan=True, blend={"train": {"epochs": 3}})
    said = capsys.readouterr().out
    assert "blend.trainings: 10 would be made (about" in said
    assert "stages.main.epochs 1 → 3" in said
    assert kept_files(data) == before


def test_pruning_lists_what_no_parameters_ask_for_and_removes_it_when_told(
    run_pipeline, blended, tmp_path
):
    data = shutil.copytree(blended, tmp_path / "data")
    models = data / "06_models/demo/blend/normal"
    asked = {path.name for path in models.iterdir()}
    run_pipeline("blend", data, blend={"train": {"learning_rate": 0.01}}, **FEW)
    unasked = {path.name for path in models.iterdir()} - asked
    assert len(unasked) == 1
    run_pipeline("prune", data)
    listed = pd.read_csv(data / "08_reporting/demo/prune/unasked.csv")
    names = {Path(folder).name for folder in listed["folder"]}
    assert unasked <= names and not names & asked
    assert all(Path(folder).is_dir() for folder in listed["folder"])
    run_pipeline("prune", data, apply=True)
    assert {path.name for path in models.iterdir()} == asked


def test_under_domain_each_fold_tests_a_stain_that_it_never_trained_on(run_pipeline, tmp_path):
    run_pipeline("blend", tmp_path, **{**FEW, "variants": "normal+blend", "protocols": "domain"})
    manifest = pd.read_parquet(tmp_path / "02_intermediate/demo/manifest.parquet")
    splits = pd.read_parquet(tmp_path / "05_model_input/demo/splits.parquet").merge(
        manifest[["image_id", "domain", "source_group"]], on="image_id"
    )
    domains = sorted(manifest["domain"].unique())
    assert len(domains) == 3
    tested = splits[splits["part"] == "test"]
    assert tested.groupby("fold")["domain"].agg(set).tolist() == [{name} for name in domains]
    assert sorted(tested["image_id"]) == sorted(manifest["image_id"])
    for _, fold in splits.groupby("fold"):
        assert (fold.groupby("source_group")["part"].nunique() == 1).all()
        others = fold.loc[fold["part"] != "test", "domain"]
        assert not set(others) & set(fold.loc[fold["part"] == "test", "domain"])
    predictions = pd.read_parquet(tmp_path / "07_model_output/demo/blend/predictions.parquet")
    columns = ["image_id", "fold", "part"]
    seen = predictions.query("variant == 'blend'")[columns].sort_values(columns)
    dealt = splits.loc[splits["part"] != "train", columns].sort_values(columns)
    assert seen.to_numpy().tolist() == dealt.to_numpy().tolist()
    reports = tmp_path / "08_reporting/demo/blend"
    by_fold = pd.read_csv(reports / "metrics_by_fold.csv")
    for _, folds in by_fold.groupby("variant"):
        assert list(zip(folds["fold"], folds["tested"], strict=True)) == [*enumerate(domains)]
    metrics = pd.read_csv(reports / "metrics.csv")
    assert metrics["variant"].tolist() == ["normal", "blend"]
    assert (metrics["images"] == len(manifest)).all()
    page = (reports / "report.html").read_text()
    assert 'id="table-metrics_by_fold"' in page and all(name in page for name in domains)


def test_under_dataset_each_fold_tests_a_data_set_that_it_never_trained_on(run_pipeline, tmp_path):
    other = tmp_path / "other"
    classes = ["basophil", "lymphocyte", "seg_neutrophil"]
    demo.list_images(
        other, cells_per_class=4, views_per_cell=2, image_size=48, classes=classes, seed=1
    )
    (table,) = other.glob("*/cells.csv")
    columns = {"path_column": "image_id", "source_column": "source_id"}
    run_pipeline(
        "blend",
        tmp_path / "data",
        dataset="demo+table",
        sources={"table": {"file": str(table), **columns}},
        **FEW | {"protocols": "dataset"},
    )
    data = tmp_path / "data"
    splits = pd.read_parquet(data / "05_model_input/demo+table/splits.parquet")
    assert splits["image_id"].str.startswith(tuple(splits["dataset"].unique() + "/")).all()
    parts = splits.groupby(["fold", "part"])["dataset"].agg(set)
    assert parts[0].to_dict() == {"test": {"demo"}, "train": {"table"}, "validation": {"table"}}
    assert parts[1].to_dict() == {"test": {"table"}, "train": {"demo"}, "validation": {"demo"}}
    reports = data / "08_reporting/demo+table/blend"
    by_fold = pd.read_csv(reports / "metrics_by_fold.csv")
    assert by_fold["tested"].tolist() == ["demo", "table"]
    assert pd.read_csv(reports / "metrics.csv")["images"].tolist() == [by_fold["images"].sum()]
    assert "DEMO DATA" in (reports / "report.html").read_text()


def test_views_fitted_on_what_a_run_is_measured_on_are_refused(tmp_path):
    from wbc_pipeline.pipelines.experiment.runs import Run, refuse_leaks

    images = pd.DataFrame(
        {
            "dataset": "blood_cells",
            "image_id": [f"{number}.png" for number in range(6)],
            "source_id": ["a", "b", "c", "d", "e", None],
            "source_group": ["a", "b", "c", "d", "d", None],  # d and e show one cell
            "sha256": [f"{number}" for number in range(6)],
        }
    )
    rows = {"train": np.array([0, 1]), "validation": np.array([2]), "test": np.array([3, 5])}
    runs = [Run("source", 0, 0, rows)]

    def refuse(**fitted_on):
        image = {"dataset": "blood_cells_originals", "source_id": None, "sha256": None}
        table = pd.DataFrame([{"image_id": "x", **image, **fitted_on}])
        table.to_parquet(tmp_path / "training_images.parquet")
        step = {"detector_region": {"model": str(tmp_path)}}
        view = SimpleNamespace(steps=[{"full_resolution": {}}, step])
        refuse_leaks("normal", {"image": view}, images, runs)

    refuse(source_id="a", sha256="1")  # both train
    refuse(source_id="z", sha256="9")  # of none of these images
    refuse(source_id="c", dataset="lisc")  # of the same name in another download
    for fitted_on in (
        *({"source_id": "c"}, {"source_id": "e"}, {"sha256": "3"}, {"sha256": "5"}),
        {"source_id": "blood-cells/c"},  # as it is named where several data sets are one
    ):
        message = r"normal cannot be trained: .* step detector_region, .* source-0 validates or"
        with pytest.raises(ValueError, match=message):
            refuse(**fitted_on)


@pytest.mark.slow
def test_two_commands_at_a_time_give_what_each_gives_alone(tmp_path):
    few = "tracking.enabled=false,seeds=1"
    blend = f"protocols=random+source,variants=normal+blend,{few}"
    separable = f"protocols=random,variants=mixed,{few}"
    together = tmp_path / "together"
    both = [start(together, "blend", blend), start(together, "separable", separable)]
    for process in both:
        finish(process)
    for paper, words in (("blend", blend), ("separable", separable)):
        alone = tmp_path / paper
        finish(start(alone, paper, words))
        for name in ("metrics.csv", "robustness.csv", "per_class.csv"):
            tables = [
                pd.read_csv(data / f"08_reporting/demo/{paper}/{name}")
                for data in (together, alone)
            ]
            tables = [table.drop(columns="inference_ms", errors="ignore") for table in tables]
            pd.testing.assert_frame_equal(*tables)


@pytest.mark.slow
def test_identical_commands_make_nothing_whatever_the_number_of_cores(tmp_path):
    finish(start(tmp_path, "blend", "variants=normal+blend"))
    before = kept_files(tmp_path)
    finish(start(tmp_path, "blend", "variants=normal+blend"))
    assert kept_files(tmp_path) == before
    weights = "06_models/**/weights.safetensors"
    trained = write_times(tmp_path, weights)
    finish(start(tmp_path, "blend", "variants=normal+blend", prefix=("taskset", "-c", "0")))
    assert trained and write_times(tmp_path, weights) == trained


@pytest.mark.slow
def test_two_processes_of_a_launcher_train_two_stages_together(tmp_path):
    stages = "blend.variants.normal.stages"
    words = (
        "variants=normal,protocols=random,blend.trainer.devices=2,device=cpu,"
        f"tracking.enabled=false,{stages}.main.epochs=1,{stages}.second.epochs=2"
    )
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "kedro")
    done = subprocess.run(
        [
            *(sys.executable, *launcher, "run", "--env=test", "--pipelines=blend"),
            f"--params=data={tmp_path},{words}",
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    training = result_of(tmp_path / "06_models/demo/blend", "normal/random-0")
    history = pd.read_parquet(training / "history.parquet")
    assert history["stage"].tolist() == ["main", "second", "second"]
    assert not list(training.glob("*.ckpt"))


@pytest.mark.slow
def test_kedro_viz_builds_with_layers_and_previews_after_a_run(tmp_path):
    project = tmp_path / "project"
    ignore = shutil.ignore_patterns("data", ".git", "__pycache__", ".pytest_cache", "build")
    shutil.copytree(PROJECT, project, ignore=ignore)
    shutil.rmtree(project / "conf/local")
    shutil.copytree(project / "conf/test", project / "conf/local")
    (project / "conf/local/globals.yml").write_text(f"data: {tmp_path / 'data'}\n")
    environment = {**os.environ, "KEDRO_DISABLE_TELEMETRY": "1", "PYTHONPATH": str(project / "src")}
    for words in (
        ["run", "--pipelines=blend", "--params=variants=normal+blend,tracking.enabled=false"],
        ["viz", "build", "--include-previews"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "kedro", *words],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "circular" not in (done.stdout + done.stderr).lower()
    main = json.loads((project / "build/api/main").read_text())
    assert main["layers"] == [
        *("raw", "primary", "feature", "model_input", "models", "model_output", "reporting")
    ]
