import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from click import ClickException
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from wbc_pipeline.parameters.checks import check_group
from wbc_pipeline.parameters.schema import ParameterError, Parameters, check_parameters
from wbc_pipeline.pipelines.papers import PAPERS

PROJECT = Path(__file__).parents[1]
MATRIX = {"table": "Table 4", "classes": ["monocyte"]}


@pytest.fixture
def load():
    """Load the parameters of an environment with run-time parameters merged in."""
    bootstrap_project(PROJECT)
    from kedro.framework.project import pipelines, settings

    def load(env="base", *, pipeline="blend", **runtime):
        pipelines.set_requested([pipeline])
        loader = settings.CONFIG_LOADER_CLASS(
            str(PROJECT / "conf"), env=env, runtime_params=runtime, **settings.CONFIG_LOADER_ARGS
        )
        return loader["parameters"]

    yield load
    pipelines.set_requested(None)


@pytest.mark.parametrize("env", ["base", "test", "paper", "recipe"])
def test_shipped_parameters_are_accepted(load, env):
    check_parameters(load(env))


def test_the_catalogue_of_all_pipelines_together_can_be_had(tmp_path):
    bootstrap_project(PROJECT)  # as kedro-viz, `kedro ipython` and notebooks ask for it
    with KedroSession.create(PROJECT, runtime_params={"data": str(tmp_path)}) as session:
        catalog = session.load_context().catalog
    assert catalog.load("params:predict").confidence.images > 1


def test_names_and_lists_of_a_table_can_be_said_on_the_command_line(load):
    table = {"file": 2024, "patient_column": 1, "suffix": 0, "classes": "SNE+BNE"}
    options = Parameters.model_validate(load(sources={"table": table})).sources.table
    assert (options.file, options.patient_column, options.suffix) == ("2024", "1", "0")
    assert options.classes == ["SNE", "BNE"]


@pytest.mark.parametrize("env", ["base", "test", "paper"])
@pytest.mark.parametrize("paper", [paper.name for paper in PAPERS])
def test_the_size_that_is_said_is_that_of_every_view_of_a_paper(load, env, paper):
    views = load(env, pipeline=paper, size=72)[paper]["views"]
    chains = [steps for name, steps in views.items() if not re.search(r"_\d+$", name)]
    sizes = [step["resize"]["size"] for steps in chains for step in steps if "resize" in step]
    unscaled = (env, paper) == ("paper", "blend")  # trained on images as they are
    assert {*sizes} == (set() if unscaled else {72})


def test_the_papers_command_of_localize_needs_nothing_else_said(load):
    parameters = load("paper", pipeline="localize")
    own = parameters["localize"]
    assert set(parameters["protocols"]) == {"random", "published", "source"}
    assert (parameters["dataset"], parameters["boxes"]) == ("blood_cells", "blood_cells_originals")
    for name in ("vgg16_whole", "vgg16_roi"):
        main = own["variants"][name]["stages"]["main"]
        assert (main["epochs"], main["learning_rate"]) == (20, 1e-4)
    assert own["localization"]["train"]["epochs"] == 50
    assert own["robustness"]["whole"] == ["published"]


def test_an_environment_changes_only_what_it_names(load):
    base, test = load("base")["blend"], load("test")["blend"]
    assert test["train"]["epochs"] != base["train"]["epochs"]
    assert test["published"] == base["published"]


@pytest.mark.parametrize(
    ("runtime", "expected"),
    [
        ({"datset": "demo"}, "datset: there is no such parameter. Did you mean 'dataset'?"),
        ({"blend": {"train": {"epoch": 3}}}, "blend.train.epoch: .* Did you mean 'epochs'?"),
        ({"blend": {"train": {"epochs": 0}}}, "blend.train.epochs: .*greater than 0"),
        ({"seeds": "many"}, "seeds: .*integer"),
        ({"size": 0}, "size: .*greater than 0"),
        ({"dataset": "leukaemia"}, "dataset: .*Did you mean 'leukemia5'"),
        ({"dataset": "leukemia"}, "dataset: .*Did you mean 'leukemia5'"),
        (
            {"dataset": "pbc+lisc", "splitting": {"datasets": "pcb"}},
            "splitting: .*datasets: data set 'pcb' is not known. Did you mean 'pbc'",
        ),
        ({"dataset": "demo+LISC"}, "dataset: .*Did you mean 'lisc'"),
        ({"dataset": "lisc+originals"}, "dataset: .*Did you mean 'blood_cells_originals'"),
        (
            {"b/c": "d"},
            "b/c: there is no such parameter.*splits at commas.*conf/local.*--env=paper: conf/pap",
        ),
        (
            {"sources": {"table": {"label_column": 7.1}}},
            "label_column: .*7.1.* in quotes.*--env=paper: conf/paper",
        ),
        ({"sources": {"image_folder": {"folder": True}}}, "folder: .* in quotes"),
        ({"ingestion": {"lost_classes": "ignore"}}, "lost_classes: .*'error' or 'warn'"),
        ({"protocols": "random+random"}, "twice"),
        ({"splitting": {"folds": 0}}, "splitting.folds: .*greater than 0"),
        ({"preprocessing": {"backend": "thread"}}, "preprocessing.backend: .*'dask'"),
        (
            {"preprocessing": {"views": {"clahe": [{"clae": {}}]}}},
            "preprocessing.views.clahe: .*no step 'clae'. Did you mean 'clahe'",
        ),
        (
            {"preprocessing": {"views": {"../up": []}}},
            "preprocessing.views.../up.*: String should match pattern",
        ),
        (
            {"roi": {"views": {"colour": [{"resize": {"size": 8}}]}}},
            "roi.views: .*colour must begin with full_resolution and have a step that finds",
        ),
        (
            {"separable": {"variants": {"compact": {"stages": {"main": {"schedul": "step"}}}}}},
            "separable: .*compact.stages.main.schedul: .*Did you mean 'schedule'.* Known are",
        ),
        (
            {"separable": {"variants": {"compact": {"views": {"image": "cel"}}}}},
            "separable: .*compact.views: .*'cel' is not known. Did you mean 'cell'",
        ),
        (
            {"saliency": {"hypotheses": {"fusion": {"than": "without_fusoin"}}}},
            "saliency: .*fusion: variant 'without_fusoin' is not known. Did you mean",
        ),
        (
            {"saliency": {"published_sd": {"full": {"accurcy": "0.004"}}}},
            "saliency: .*published_sd.full: metric 'accurcy' is not known. Did you mean 'accuracy'",
        ),
        (
            {"localize": {"variants": {"custom_2_roi": {"detector": "light_stain"}}}},
            "localize: .*custom_2_roi.detector: detector 'light_stain' is not known.* Known are",
        ),
        (
            {"blend": {"variants": {"normal": {"detector": "light"}}}},
            "blend: .*normal.detector: only localize trains detectors for each split",
        ),
        (
            {"challenge": {"variants": {"baseline": {"restorer": "unet", "detector": "light"}}}},
            "challenge.variants.baseline: .*take restorer and composites out",
        ),
        (
            {"localize": {"others": {"proposed": {"variant": "custom_2_rio"}}}},
            "localize: .*others.proposed.variant: variant 'custom_2_rio' is not known. Did you",
        ),
        (
            {"challenge": {"families": {"transformers": ["kan_transforme"]}}},
            "challenge: .*families.transformers: variant 'kan_transforme' is not known. "
            "Did you mean",
        ),
        (
            {"challenge": {"maturation": {"precursors": ["PMY", "BLA"]}}},
            "challenge.maturation: .*precursors: class 'BLA' is not known",
        ),
        (
            {"challenge": {"claims": {"ensemble_gains": {"metric": "mean_recall"}}}},
            "challenge.claims.ensemble_gains: .*classes belong to the metric mean_recall",
        ),
        (
            {"blend": {"variants": {"both": {"ensemble": ["normal", "blent"]}}}},
            "blend.variants: .*both.ensemble: network 'blent' is not known. Did you mean 'blend'",
        ),
        (
            {"blend": {"variants": {"normal": {"ensemble": ["blend", "soft_mask"]}}}},
            "blend.variants.normal: .*either a network or an ensemble",
        ),
        (
            {"blend": {"variants": {"two": {"best": 2, "of": ["normal", "blent", "blend"]}}}},
            "blend.variants: .*two.of: network 'blent' is not known. Did you mean 'blend'",
        ),
        (
            {"blend": {"variants": {"two": {"best": 2, "of": ["normal", "blend"]}}}},
            "blend.variants.two: .*best: 2 of 2 networks is no choice",
        ),
        (
            {"blend": {"variants": {"two": {"best": 99}}}},
            "blend.variants: .*two.best: 99 of .* networks is no choice",
        ),
        (
            {"blend": {"variants": {"two": {"best": 2, "turns": True}}}},
            "blend.variants.two: .*computed from predictions, and has no turns",
        ),
        (
            {"challenge": {"variants": {"logit_adjustment": {"prior_correction": 1}}}},
            "challenge: .*variants.logit_adjustment: prior_correction and logit_adjustment each .*"
            "switch off what is too much by prior_correction: 0 or logit_adjustment: 0",
        ),
        (
            {"challenge": {"variants": {"class_weights": {"prior_correction": 0.5}}}},
            "challenge: .*variants.class_weights: prior_correction and class_weights each",
        ),
        (
            {"challenge": {"variants": {"decoupled": {"prior_correction": 1}}}},
            "challenge: .*variants.decoupled: prior_correction and sampling: class each",
        ),
        (
            {"challenge": {"variants": {"combined": {"stages": {"all": {"sampling": "class"}}}}}},
            "challenge: .*combined.stages.all: .*logit_adjustment and sampling: class each",
        ),
        ({"blend": {"paper": {"protocol": "randon"}}}, "blend.paper.protocol"),
        ({"dataset": "demo+demo"}, "dataset: .*twice"),
        ({"boxes": "lisk"}, "boxes: .*lisc"),
        ({"rerun": "params+code"}, "rerun: .*params.data"),
        ({"protocols": "random+sauce"}, "protocols"),
        ({"device": "tpu"}, "device: .*'cuda'"),
        (
            {"blend": {"variants": {"normal": {"network": "vgg"}}}},
            "network 'vgg' is not known. Known are normal_cnn",
        ),
        (
            {"blend": {"views": {"image": [{"rezise": {}}]}}},
            "no step 'rezise'. Did you mean 'resize'",
        ),
        ({"sources": {"demo": {"cells": 3}}}, "sources.demo.cells: .* no such parameter"),
    ],
)
def test_a_mistake_is_refused_and_named(load, runtime, expected):
    with pytest.raises(ParameterError, match=expected):
        check_parameters(load(**runtime))


def test_chains_of_groups_that_a_command_does_not_take_are_not_built(load):
    wrong = load(preprocessing={"views": {"clahe": [{"clae": {}}]}})
    assert check_parameters(wrong, asked={"ingestion"}).preprocessing.views.root["clahe"]
    with pytest.raises(ParameterError, match="no step 'clae'"):
        check_parameters(wrong, asked={"preprocessing"})


def test_the_last_stage_that_trains_the_head_decides_what_is_corrected_twice(load):
    balanced, plain = {"sampling": "class"}, {"sampling": "uniform"}
    fixed = plain | {"freeze": ["head"]}
    for stages, is_twice in (
        ({"head": balanced, "all": plain}, False),
        ({"head": balanced, "all": fixed}, True),
    ):
        variants = {"balanced_sampling": {"prior_correction": 1, "stages": stages}}
        parameters = load(challenge={"variants": variants})
        if is_twice:
            with pytest.raises(ParameterError, match="balanced_sampling: prior_correction and"):
                check_parameters(parameters)
        else:
            check_parameters(parameters)


def test_a_mistake_in_the_data_set_is_named_once(load):
    with pytest.raises(ParameterError) as error:
        check_parameters(load(dataset="leukemia"))
    assert str(error.value).count("leukemia5'?") == 1


@pytest.mark.parametrize(
    ("mistake", "expected"),
    [
        ({"published": {"relu": {"accuracy": "90.14"}}}, "published.relu.accuracy: .*as 0.9880"),
        ({"printed": {"recalls": {"mixed": {"monocyte": 97}}}}, "recalls.mixed.monocyte: .* 0 and"),
        (
            {"printed": {"parts": {"table": "1", "test_share": 25, "train": {}, "test": {}}}},
            "printed.parts.test_share: .* 0 and 1",
        ),
        (
            {"printed": {"matrices": {"mixed": MATRIX | {"of_all": [["many"]]}}}},
            "printed.matrices.mixed.of_all: .*'many' is not a number",
        ),
    ],
)
def test_a_printed_share_that_is_none_is_refused_before_any_node(load, mistake, expected):
    parameters = load(pipeline="separable", separable=mistake)
    with pytest.raises(ParameterError, match=expected):
        check_group(check_parameters(parameters), "separable")


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ({"tests": [{"what": "TEST"}]}, "give either images, or classes"),
        ({"tests": [{"what": "TEST", "images": [0]}]}, "1 or more"),
        ({"recalls": {"mixed": {"monocytes": 0.9}}}, "recalls.mixed: class .*mean 'monocyte'"),
        ({"matrices": {"mixed": MATRIX}}, "give of_rows"),
        ({"matrices": {"mixed": MATRIX | {"of_all": [[1, 2]]}}}, "1 rows and columns"),
        ({"rounding": "up"}, "rounding: .*'nearest'"),
    ],
)
def test_printed_numbers_that_cannot_be_held_against_anything_are_refused(load, printed, expected):
    with pytest.raises(ParameterError, match=expected):
        check_parameters(load(pipeline="separable", separable={"printed": printed}))


def test_a_metric_that_is_not_measured_is_refused(load):
    parameters = load(blend={"published": {"normal": {"accurcy": 1}}})
    with pytest.raises(ParameterError, match="accurcy"):
        check_group(check_parameters(parameters), "blend")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"alhpa": 0.3}, "blend.variants.blend.arguments: .*alhpa"),
        ({"filters": [8, 8, 8, 8, 8]}, "blend.variants.blend.arguments: .*multiple of 32"),
    ],
)
def test_arguments_that_a_network_does_not_take_are_refused(load, arguments, expected):
    parameters = load(blend={"variants": {"blend": {"arguments": arguments}}})
    with pytest.raises(ParameterError, match=expected):
        check_group(check_parameters(parameters), "blend")


@pytest.mark.parametrize(
    ("env", "group"),
    [
        *product(["base", "test", "paper"], [*(paper.name for paper in PAPERS), "audit"]),
        ("recipe", "separable"),
    ],
)
def test_shipped_networks_can_be_built(load, env, group, monkeypatch):
    monkeypatch.setattr("wbc_pipeline.models.pretrained.find_weights", lambda *_: None)
    paper = "blend" if group == "audit" else group
    check_group(check_parameters(load(env, pipeline=paper)), group)


SIZES = {f"{name}_{size}" for name in ("normal", "blend") for size in (48, 64, 96, 128)}


@pytest.mark.parametrize(
    ("env", "variants", "sizes"),
    [
        ("base", "all", set()),
        ("base", "normal_64+blend_64", {"normal_64", "blend_64"}),
        ("test", "all", set()),
        ("paper", "all", SIZES - {"normal_128", "blend_128"}),  # those are normal and blend there
    ],
)
def test_the_sizes_of_blend_are_trained_where_they_are_asked_for(load, env, variants, sizes):
    checked = check_parameters(load(env, variants=variants))
    taking_part = {*checked.blend.variants.select(checked.variants).networks}
    assert taking_part & SIZES == sizes
    assert ("normal" in taking_part) == (variants == "all")


@pytest.mark.parametrize("size", [48, 64, 96, 128])
def test_each_size_of_blend_is_in_pixels_what_its_name_says(load, size):
    blend = check_parameters(load()).blend
    for name in (f"normal_{size}", f"blend_{size}"):
        for view in blend.variants.root[name].views.values():
            *cut, last = blend.views.root[view]
            assert last == {"resize": {"size": size}}
            assert cut == (blend.views.root["foreground"][:1] if "foreground" in view else [])


def test_a_view_that_a_network_looks_at_and_a_paper_has_not_is_refused(load):
    parameters = load(separable={"variants": {"mixed": {"network": "blend_cnn"}}})
    with pytest.raises(ParameterError, match=r"mixed: blend_cnn looks at a view 'foreground'.*say"):
        check_group(check_parameters(parameters), "separable")


def test_a_variant_that_a_paper_has_not_is_refused(load):
    with pytest.raises(ParameterError, match="blend has no variant 'mixed'; known are normal, "):
        check_group(check_parameters(load(variants="mixed")), "blend")


def test_more_devices_than_the_machine_has_are_refused(load):
    parameters = load(device="cpu", blend={"trainer": {"devices": 64}})
    with pytest.raises(ParameterError, match="64"):
        check_group(check_parameters(parameters), "blend")


@pytest.mark.parametrize("pipeline", ["ingestion", "audit"])
def test_a_data_set_that_no_paper_chooses_has_to_be_said(load, pipeline):
    with pytest.raises(ClickException, match=r"which data set .*--params=dataset=…$"):
        load("paper", pipeline=pipeline)
    said = load("paper", pipeline=pipeline, dataset="lisc")
    assert (said["dataset"], said["boxes"], said["protocols"]) == ("lisc", "lisc", ["source"])


@pytest.mark.parametrize("folder", ["~/out", "out", "/somewhere"])
def test_paths_are_the_projects_or_the_users(load, folder, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    expected = {"~/out": "/home/somebody/out", "out": str(PROJECT / "out")}.get(folder, folder)
    assert load(data=folder)["tracking"]["uri"] == f"sqlite:///{expected}/mlflow.db"


def test_data_moves_every_output(load, tmp_path):
    assert str(tmp_path) in load(data=str(tmp_path))["tracking"]["uri"]


def test_command_line_stops_before_any_node(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "kedro", "run", f"--params=data={tmp_path},sedes=2"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert "Did you mean 'seeds'?" in run.stderr + run.stdout
    assert list(tmp_path.iterdir()) == []
