import ast
import importlib
import inspect
import pkgutil

import matplotlib as mpl
import pandas as pd
import pytest
from figure_texts import check

from wbc_pipeline.evaluation import figures
from wbc_pipeline.evaluation.figures import style
from wbc_pipeline.evaluation.report.described import caption_of, heading_of

MODULES = [
    importlib.import_module(f"{figures.__name__}.{found.name}")
    for found in pkgutil.iter_modules(figures.__path__)
]


def test_a_figure_is_drawn_in_our_style_whatever_the_callers_is():
    @style.drawn(heading="Heading", caption="Caption.")
    def draw():
        figure = style.new_figure("Title", "demo", height=2)
        figure.subplots()
        return figure

    with mpl.rc_context({"axes.grid": False, "axes.spines.top": True}):
        assert not draw().axes[0].spines["top"].get_visible()
        assert mpl.rcParams["axes.spines.top"]


def test_nothing_is_left_open_in_pyplot():
    import matplotlib.pyplot as plt

    check(style.empty_figure("Title", "demo", "nothing tracked"), "Title · demo", "nothing tracked")
    assert plt.get_fignums() == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.split(".")[-1])
def test_no_module_takes_private_names_of_another(module):
    imports = [
        node
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.ImportFrom)
    ]
    names = [alias.name for node in imports for alias in node.names]
    assert [name for name in names if name.startswith("_")] == []


def test_every_function_that_draws_a_figure_says_what_it_shows():
    drawing = [
        function
        for module in MODULES
        if module.__name__.split(".")[-1] not in ("style", "sheets")
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    ]
    assert len(drawing) > 30
    assert [f.__name__ for f in drawing if not (heading_of(f) and caption_of(f))] == []


def test_protocols_have_colours_that_differ():
    colours = [*style.PROTOCOL_COLOURS.values()]
    assert {"domain", "dataset"} <= style.PROTOCOL_COLOURS.keys()
    assert len(set(colours)) == len(colours)


def test_values_keep_the_order_that_is_asked_for_and_then_their_own():
    values = pd.Series(["c", "a", "b", "a"])
    assert style.distinct(values) == ["c", "a", "b"]
    assert style.distinct(values, ["b", "x"]) == ["b", "c", "a"]


def test_what_was_not_recorded_is_grey_and_comes_last():
    domains = style.name_domains(pd.DataFrame({"domain": [None, "wright", "giemsa"]}))
    colours = style.domain_colours(domains)
    assert [*colours] == ["giemsa", "wright", style.NOT_RECORDED]
    assert colours[style.NOT_RECORDED] == style.UNKNOWN_COLOUR
