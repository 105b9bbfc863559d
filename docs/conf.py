"""Sphinx: how the documentation is built, without a network."""

import sys
from pathlib import Path

from wbc_pipeline import __version__

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = html_title = "wbc_pipeline"
author = "The wbc_pipeline authors"
copyright = f"2026, {author}"
release = __version__

extensions = [
    "all_parameters",
    "myst_parser",
    "numpydoc",
    "results_run",
    "results_table",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
]
exclude_patterns = ["_build", "_extensions"]
templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_sidebars = {"index": [], "tutorials/*": [], "explanation/*": []}  # single pages

myst_heading_anchors = 3  # links to headings: page.md#a-heading
add_module_names = False
autodoc_typehints = "none"  # types are in the docstrings
autodoc_use_legacy_class_based = True  # Sphinx 9's other way shows numpydoc imported builtins
numpydoc_show_class_members = False
