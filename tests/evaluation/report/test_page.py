import io
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from wbc_pipeline.evaluation.report.described import describe
from wbc_pipeline.evaluation.report.page import (
    Link,
    Picture,
    collapse_intervals,
    format_value,
    render_report,
)

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


def _png() -> bytes:
    figure, png = Figure(figsize=(2, 1)), io.BytesIO()
    figure.subplots().plot([0, 1])
    figure.savefig(png, dpi=160)
    return png.getvalue()


ITEMS = {
    "published": describe(COMPARED, "Published, reproduced", "What the paper prints."),
    "metrics": pd.DataFrame({"seed": [0]}),
    "training_curves": Picture(_png(), "Training", "Thin lines are single runs."),
}


def _report(**changes) -> str:
    arguments = {"title": "Blend", "dataset": "demo", "is_demo": False, "summary": SUMMARY}
    return render_report(**arguments | {"items": ITEMS, "notes": ["a < b"]} | changes)


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


def test_contents_are_in_the_order_of_the_page():
    page = _Balance()
    page.feed(_report())
    linked = [link.removeprefix("#") for link in page.links]
    assert linked == [name for name in page.ids if name in linked]
    assert linked.index("notes") == 2  # after the summary and the first heading


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


def test_items_stand_in_their_order_and_notes_after_the_first():
    page = _report()
    ids = ("table-published", "notes", "table-metrics", "figure-training_curves")
    places = [page.index(f'id="{name}"') for name in ids]
    assert places == sorted(places)
    assert '0.953 <span class="interval">[0.941, 0.964]</span>' in page


def test_items_carry_their_headings_and_captions_and_else_are_headed_by_their_names():
    page = _report()
    for text in ("What the paper prints.", "Thin lines are single runs.", "<h2>Training</h2>"):
        assert text in page
    assert "<h2>Metrics</h2>" in page


def test_neighbours_of_one_heading_stand_under_it_together():
    tables = {name: describe(COMPARED.copy(), "Cells that fail", name) for name in ("one", "two")}
    page = _report(items=tables | {"three": Picture(_png(), "Cells that fail", "three")})
    assert page.count("<h2>Cells that fail</h2>") == 1
    assert page.count('">Cells that fail</a>') == 1
    for anchor in ("table-one", "table-two", "figure-three"):
        assert f'id="{anchor}"' in page


def test_a_long_table_is_cut_and_says_so():
    table = describe(pd.DataFrame({"cell": [f"cell {n}." for n in range(9)]}), "", "Worst first.")
    page = _report(items={"by_source": table}, rows=3)
    assert "Worst first. The first 3 of 9 rows; all are in by_source.csv." in page
    assert "cell 2." in page
    assert "cell 3." not in page
    assert "rows; all are in" not in _report(items={"by_source": table}, rows=9)


def test_page_without_items_and_notes_is_rendered():
    assert "Notes" not in _report(items={}, notes=[])
    assert "a &lt; b" in _report(items={})
    assert "No rows." in _report(items={"metrics": COMPARED.head(0)})


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


def test_a_cell_may_lead_to_another_page_and_its_text_is_escaped():
    table = pd.DataFrame({"data_set": [Link("a<b", "a b/compare/report.html")]})
    page = render_report(title="All", dataset="", is_demo=False, summary={}, items={"sets": table})
    assert '<a href="a b/compare/report.html">a&lt;b</a>' in page


def test_a_fact_of_the_header_may_lead_to_another_page():
    facts = {"champion": Link("its <card>", "champion/README.md"), "papers": "1"}
    page = render_report(title="All", dataset="", is_demo=False, summary=facts, items={})
    assert '<dd><a href="champion/README.md">its &lt;card&gt;</a></dd>' in page
    assert "<dd>1</dd>" in page


def test_a_command_in_a_table_is_set_as_code():
    table = pd.DataFrame({"command": ["kedro run --pipeline=blend"]})
    page = render_report(title="All", dataset="", is_demo=False, summary={}, items={"run": table})
    assert "<code>kedro run --pipeline=blend</code>" in page
