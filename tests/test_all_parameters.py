"""The page of all parameters is made from the models that check them."""

import importlib

import pytest
from sphinx_page import EXTENSIONS, build_page

from wbc_pipeline.parameters.schema import Parameters


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXTENSIONS)
        text = "# All\n\n```{all-parameters}\n```\n"
        return build_page(tmp_path_factory.mktemp("page"), text, "all_parameters")


def test_every_group_and_every_paper_has_a_section(page):
    sections = {line.strip('"') for line in page.splitlines()}
    for name in ("tracking", "ingestion", "audit", "predict", "<paper>", "localize"):
        assert name in sections


def test_every_parameter_of_every_model_stands_there(page):
    for name in Parameters.model_fields.keys() - {"blend"}:  # which has none of its own
        assert f'"{name}"' in page
    for name in ("epochs", "learning_rate", "bins", "resamples", "curves", "monitor"):
        assert f'"{name}"' in page


def test_a_line_says_values_default_and_meaning(page):
    line = next(line for line in page.splitlines() if line.startswith('| "bins"'))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1] == "whole number, > 1"
    assert "confidence" in page


def test_a_meaning_that_a_parent_tells_is_found(monkeypatch):
    monkeypatch.syspath_prepend(EXTENSIONS)
    module = importlib.import_module("all_parameters")

    class Parent(module.Options):
        """A parent.

        Parameters
        ----------
        sigma, size
            Of the blur.
        """

        sigma: float = 1.5
        size: int = 3

    class Child(Parent):
        """A child."""

        kind: str | None = None

    lines = list(module.describe_tree("blur", Child, {"kind": "box"}, {}))
    assert lines[-3:] == [
        "| `sigma` | number | `1.5` | Of the blur. |",
        "| `size` | whole number | `3` | Of the blur. |",
        "| `kind` | text or `null` | `box` | – |",
    ]
