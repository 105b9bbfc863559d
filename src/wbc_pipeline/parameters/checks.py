"""Checks that take heavy imports, or a look at the disk."""

import json
import re
import sys
from collections.abc import Iterable
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from wbc_pipeline.datasets.source import Source
from wbc_pipeline.errors import UserError, explain
from wbc_pipeline.parameters.schema import ParameterError, SharedParameters, refuse
from wbc_pipeline.pipelines.ingestion.options import SourcesOptions
from wbc_pipeline.pipelines.preprocessing.options import tried_chain
from wbc_pipeline.training.options import StageOptions, merge_stages


def check_group(checked: SharedParameters, group: str) -> None:
    """Check device, printed metrics, networks and their weights of a group with variants.

    Parameters
    ----------
    checked
        The whole tree; see `check_parameters`.
    group
        Whose variants are built, each once.

    Raises
    ------
    ParameterError
        Naming the parameter at fault and what is wrong with it.
    """
    import numpy as np

    from wbc_pipeline.evaluation.scores.comparison import check_published
    from wbc_pipeline.evaluation.scores.printed.findings import check_shares
    from wbc_pipeline.models import network_class
    from wbc_pipeline.training.devices import check_devices, choose_device

    own = attrgetter(group)(checked)
    localization = getattr(own, "localization", None)
    try:
        device = choose_device(checked.device)
        check_devices(own.trainer, device)
        if localization is not None:
            check_devices(localization.trainer, device)
        check_published(getattr(own, "published", {}))
        if printed := getattr(own, "printed", None):
            facts = printed.model_dump()
            check_shares(own.published, facts["recalls"], facts["matrices"], facts["parts"])
    except ValueError as error:
        raise refuse(str(error)) from None
    for name in checked.variants.root:
        known = [*own.variants.root, "all"]
        if hasattr(own, "paper") and name not in known:
            raise refuse(
                f"variants: {group} has no variant {name!r}; known are {', '.join(known[:-1])}"
            )
    packed = np.zeros((checked.ingestion.image_size,) * 2 + (3,), np.uint8)
    sizes = {name: len(tried_chain(steps)(packed)) for name, steps in own.views.root.items()}
    taking_part = own.variants.select(checked.variants).root
    for name, variant in own.variants.networks.items():
        where = f"{group}.variants.{name}"
        for view in network_class(variant.network).views:
            if variant.views.get(view, view) not in sizes:
                raise refuse(
                    f"{where}: {variant.network} looks at a view {view!r}, and {group} has none of "
                    f"that name; say under {where}.views which of {', '.join(sizes)} it is"
                )
        first = network_class(variant.network).views[0]
        shape = {"classes": 2, "image_size": sizes[variant.views.get(first, first)]}
        _check_network(where, variant, own.train, shape, has_weights=name in taking_part)
    _check_restorers(group, own, sizes)
    if localization is not None:
        for name, detector in localization.detectors.items():
            _check_network(
                f"{group}.localization.detectors.{name}",
                detector,
                localization.train,
                {"image_size": localization.size_of(detector)},
                has_weights=localization.chosen.include(name),
            )


def _check_restorers(group: str, own: Any, sizes: dict[str, int]) -> None:
    """Check that restorers can be built, and that variants look at what they restore."""
    from wbc_pipeline.models import network_class
    from wbc_pipeline.training.parts import check_prefixes

    restorers = own.restorers.root if hasattr(own, "restorers") else {}
    for name, restorer in restorers.items():
        where = f"{group}.restorers.{name}"
        arguments = {"image_size": sizes[restorer.view], **restorer.arguments}
        try:
            network = _build(restorer.network, json.dumps(arguments))
        except Exception as error:
            raise refuse(f"{where}.arguments: {error}") from error
        try:
            check_prefixes(network, "main", restorer.train)
        except ValueError as error:
            raise refuse(f"{where}.train: {error}") from None
    for name, variant in own.variants.networks.items():
        if variant.restorer is None or not restorers:
            continue
        view = restorers[variant.restorer].view
        looked_at = {variant.views.get(each, each) for each in network_class(variant.network).views}
        if view not in looked_at:
            raise refuse(
                f"{group}.variants.{name}.restorer: {variant.restorer} restores the view {view}, "
                f"and {name} looks at {', '.join(sorted(looked_at))}; give it that view, or no "
                "restorer"
            )


def _check_network(
    where: str, options: Any, train: StageOptions, shape: dict[str, int], *, has_weights: bool
) -> None:
    from wbc_pipeline.models.pretrained import MissingWeightsError, find_weights
    from wbc_pipeline.training.parts import check_prefixes

    try:
        network = _build(options.network, json.dumps({**shape, **options.arguments}))
    except Exception as error:
        raise refuse(f"{where}.arguments: {error}") from error
    for name, stage in merge_stages(train, options.stages).items():
        try:
            check_prefixes(network, name, stage)
        except ValueError as error:
            raise refuse(f"{where}.{error}") from None
    if has_weights and options.weights not in ("none", "auto"):
        try:
            find_weights(options.arguments["backbone"], options.weights)
        except (MissingWeightsError, ValueError) as error:
            raise refuse(f"{where}.weights: {error}") from error


@lru_cache(maxsize=8)  # many variants have one network
def _build(name: str, arguments: str) -> Any:
    """Build a network of shapes alone: no hundred million weights to draw."""
    import torch

    from wbc_pipeline.models import build_network

    with torch.device("meta"):
        return build_network(name, json.loads(arguments), seed=0)


def check_sources(sources: Iterable[Source], options: SourcesOptions) -> None:
    """Check that the raw data are there, before any node runs; each folder is listed once.

    Parameters
    ----------
    sources
        What is to be listed; a data set may be among them twice.
    options
        The checked ones, in which a name such as 2024 is text.

    Raises
    ------
    ParameterError
        Saying where the data set was looked for and what to do.
    """
    listed: dict[Source, Source] = {}
    for source in sources:
        source.take_over(listed.setdefault(source, source))
        try:
            source.list_images(options.model_dump(exclude_none=True))
        except (UserError, OSError) as error:
            raise ParameterError(explain(error) or str(error)) from None


def check_data_folder(folder: Path) -> None:
    """Check that outputs can be written, before any node runs.

    Raises
    ------
    ParameterError
        Naming the folder, why it cannot be written to, and what to do.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            file.write(b"0")
            file.flush()
    except OSError as error:
        raise ParameterError(f"data: {explain(error) or error}") from None


def check_inputs(pipeline: Pipeline, catalog: CatalogProtocol, names: list[str]) -> None:
    """Check that what a part of a pipeline begins with has been made.

    Raises
    ------
    ParameterError
        Naming what is missing, and the command that makes it.
    """
    missing = [
        name
        for name in sorted(pipeline.inputs())
        if not name.startswith("params:") and name != "parameters" and not catalog.exists(name)
    ]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ParameterError(
            f"This part of the pipeline begins with {missing[0]}{others}, which no earlier command "
            f"has left here; run `kedro run --pipeline={','.join(names) or 'blend'}` first, with "
            "the same data set and data folder."
        )


def check_partial(pipeline: Pipeline, catalog: CatalogProtocol, checked: SharedParameters) -> None:
    """Check that a part of a pipeline begins with what its parameters ask for.

    Raises
    ------
    ParameterError
        If an earlier command left other protocols, seeds or variants.
    """
    if "splits" not in pipeline.inputs():
        return
    splits = catalog.load("splits")
    there = set(splits["protocol"]), set(splits["seed"])
    if there != (set(checked.protocols.root), set(range(checked.seeds))):
        raise ParameterError(
            f"This part of the pipeline begins with splits that an earlier command left: "
            f"{'+'.join(sorted(there[0]))} with {len(there[1])} seed(s), and not what this command "
            "asks for; run the whole pipeline, which makes only what is missing."
        )
    for name in pipeline.inputs():
        group, _, kind = name.partition(".")
        if kind in ("trainings", "predicted") and hasattr(checked, group):
            variants = getattr(checked, group).variants
            trained = {each.partition("/")[0] for each in catalog.load(name)}
            if lacking := variants.select(checked.variants).networks.keys() - trained:
                raise ParameterError(
                    f"This part of the pipeline begins with {name} of an earlier command, which "
                    f"has no {', '.join(sorted(lacking))}; run the whole pipeline, which makes "
                    "only what is missing."
                )


def check_runner(runner: str) -> None:
    """Refuse runners that run nodes at the same time.

    Raises
    ------
    ParameterError
        Trainings beside each other would share one random state, and processes that Kedro starts
        run none of the hooks.
    """
    # what Kedro passes is "<kedro.runner.thread_runner.ThreadRunner object at 0x…>"
    refused = re.search("ThreadRunner|ParallelRunner", runner)
    if refused or "--async" in sys.argv:
        said = f"--runner={refused[0]}" if refused else "--async"
        raise ParameterError(
            f"{said} is refused: nodes that run at the same time "
            "share one random state, and the same seed would not give the same weights. Leave "
            "it out: nodes use all cores by themselves, and several commands may run side by "
            "side."
        )
