import io
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from wbc_pipeline.evaluation.report import collapse_intervals, format_value, render_report

SUMMARY = {
    "paper": "CNN <with> blending & more",
    "command": "kedro run --pipeline=blend",
    "protocols": ["random", "source"],
    "versions": {"torch": "2.15.0"},
}
COMPARED = pd.DataFrame(
    {
        "variant": ["normal", "blend"],
        "metric": ["accuracy", "log_loss"],
        "published": ["0.9880", ""],
        "reproduced": [0.953, np.nan],
        "reproduced_low": [0.941, np.nan],
        "reproduced_high": [0.964, np.nan],
        "reproduced_sd": [0.01, np.nan],
    }
)


def _report(**changes) -> str:
    figure, png = Figure(figsize=(2, 1)), io.BytesIO()
    figure.subplots().plot([0, 1])
    figure.savefig(png, dpi=160)
    arguments = {
        "title": "Blend",
        "dataset": "demo",
        "is_demo": False,
        "summary": SUMMARY,
        "tables": {"metrics": pd.DataFrame({"seed": [0]}), "published": COMPARED},
        "figures": {"training_curves": png.getvalue()},
        "notes": ["a < b"],
    }
    return render_report(**arguments | changes)


class _Balance(HTMLParser):
    """Fails on a tag that is closed in the wrong place."""

    VOID = frozenset(["meta", "img", "br"])

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name == "href"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_well_formed_and_its_contents_lead_somewhere():
    page = _Balance()
    page.feed(_report())
    assert page.open == []
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)


def test_page_needs_nothing_from_outside():
    page = _report()
    assert "data:image/png;base64," in page
    assert not re.search(r"https?://|<script|<link|@import|url\(", page)


def test_page_says_data_set_protocols_versions_and_command():
    page = _report()
    for text in ("Data set: demo", "random, source", "torch: 2.15.0", "kedro run --pipeline=blend"):
        assert text in page


def test_text_is_escaped():
    page = _report(notes=["<script>alert(1)</script>"])
    assert "CNN &lt;with&gt; blending &amp; more" in page
    assert "<script>" not in page


def test_demo_data_are_called_so_in_title_and_banner_and_others_are_not():
    words = "DEMO DATA — rendered images, no clinical meaning"
    assert _report(is_demo=True).count(words) == 2
    assert f"<title>{words}: Blend</title>" in _report(is_demo=True)
    assert "DEMO" not in _report()


def test_published_against_reproduced_comes_first():
    page = _report()
    assert page.index('<section id="table-published"') < page.index('<section id="table-metrics"')
    assert "0.953 [0.941, 0.964]" in page


def test_captions_may_be_replaced():
    assert "Thin lines are single seeds" in _report()
    assert "my caption" in _report(captions={"training_curves": "my caption"})


def test_page_without_tables_figures_and_notes_is_rendered():
    page = _report(tables={}, figures={}, notes=[])
    assert "Notes" not in page
    assert "No rows." in _report(tables={"metrics": COMPARED.head(0)})


def test_intervals_collapse_and_an_sd_stands_in_for_a_missing_one():
    frame = pd.DataFrame(
        {"f1": [0.5, 48.6], "f1_low": [0.4, None], "f1_high": [0.6, None], "f1_sd": [0.1, 0.848]}
    )
    assert collapse_intervals(frame)["f1"].tolist() == ["0.500 [0.400, 0.600]", "48.60 ± 0.85"]
    assert [*collapse_intervals(frame)] == ["f1"]


@pytest.mark.parametrize(
    ("value", "column", "text"),
    [
        (np.float64(0.98765), "", "0.988"),
        (np.int64(1234567), "", "1,234,567"),
        (-0.0123, "accuracy_difference", "−0.012"),
        (0.0, "accuracy_difference", "0.000"),
        (2e-5, "log_loss", "2.0e-05"),
        (np.inf, "", "∞"),
        (None, "", "–"),
        (np.bool_(False), "", "no"),
        ("text", "p_value", "text"),
        (0.2, "p_value", "0.200"),
    ],
)
def test_values_are_written_for_readers(value, column, text):
    assert format_value(value, column) == text
