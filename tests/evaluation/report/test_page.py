import io
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure

from wbc_pipeline.evaluation.report.described import describe
from wbc_pipeline.evaluation.report.explorer import Explorer
from wbc_pipeline.evaluation.report.page import Opening, render_report
from wbc_pipeline.evaluation.report.pictures import Picture
from wbc_pipeline.evaluation.report.tables import Link

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
    assert linked[-2:] == ["notes", "made"]


def test_page_without_charts_needs_nothing_from_outside_and_carries_no_plotly():
    page = _report()
    assert "data:image/png;base64," in page
    assert len(page) < 100_000
    assert not re.search(r"https?://|<script src|<link|@import|url\(", page)


def test_charts_are_drawn_by_one_copy_of_plotly_inside_the_page():
    charts = {
        name: describe(go.Figure().add_scatter(x=[0], y=[1], name="</script>"), name)
        for name in ("Scores", "Curves")
    }
    page = _report(items=charts)
    assert page.count("plotly.js v") == 1 and page.count("Plotly.newPlot(") >= 2
    assert not re.search("<script[^>]* src|<link", page)
    _Balance().feed(page)
    assert 'id="chart-Scores"' in page and "<h2>Curves</h2>" in page


def test_a_matrix_is_drawn_from_json_by_a_script_of_the_page():
    content = {"classes": ["a</script>"], "images": [], "runs": []}
    page = _report(items={"confusion": Explorer(content)})
    assert 'id="explorer-confusion"' in page and "querySelectorAll" in page
    assert "a</script>" not in page
    assert "showImages" not in _report()


def test_the_first_screen_is_a_verdict_its_picture_and_what_to_look_at_next():
    opening = Opening(
        "not reached",
        "99 % is < 95 %.",
        {"headline": Picture(_png(), "Headline", "The star is printed.")},
        {"metrics": "Every score", "absent": "Nothing"},
    )
    page = _report(opening=opening)
    order = ["<b>not reached</b>99 % is &lt; 95 %.", "The star is printed.", "Every score", "<h2>"]
    assert [page.index(text) for text in order] == sorted(page.index(text) for text in order)
    assert '<a href="#table-metrics">Every score</a>' in page
    assert "Nothing" not in page


def test_page_says_data_set_protocols_versions_and_command():
    page = _report()
    for text in ("Data set: demo", "random, source", "torch: 2.15.0", "kedro run --pipeline=blend"):
        assert text in page


def test_text_is_escaped():
    page = _report(notes=["<script>alert(1)</script>"])
    assert "CNN &lt;with&gt; blending &amp; more" in page
    assert "<script>alert" not in page


def test_demo_data_are_called_so_in_title_and_banner_and_others_are_not():
    words = "DEMO DATA — rendered images, no clinical meaning"
    assert _report(is_demo=True).count(words) == 2
    assert f"<title>{words}: Blend</title>" in _report(is_demo=True)
    assert "DEMO" not in _report()


def test_pictures_come_first_then_tables_then_notes_and_how_it_was_made():
    page = _report()
    ids = ("figure-training_curves", "table-published", "table-metrics", "notes", "made")
    places = [page.index(f'id="{name}"') for name in ids]
    assert places == sorted(places)
    assert '0.953 <span class="interval">[0.941, 0.964]</span>' in page


def test_a_table_stands_below_the_picture_of_its_heading():
    items = {"metrics": describe(pd.DataFrame({"seed": [0]}), "Training")} | ITEMS
    page = _report(items=items | {"curves": Picture(_png(), "Training")})
    order = [page.index(f'id="{name}"') for name in ("figure-curves", "table-published")]
    assert order == sorted(order) and page.count("<h2>Training</h2>") == 1


def test_what_belongs_to_the_opening_comes_first():
    opening = Opening(items={"headline": Picture(_png(), "Published, reproduced")})
    page = _report(opening=opening)
    order = [page.index(f'id="{name}"') for name in ("table-published", "figure-training_curves")]
    assert order == sorted(order)


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


def test_a_long_table_is_folded_and_opens_for_print():
    page = _report(items={"by_source": pd.DataFrame({"cell": range(13)})})
    assert "<summary>Show all 13 rows</summary>" in page and "beforeprint" in page
    assert "<details>" not in _report()
    opening = Opening(items={"findings": pd.DataFrame({"cell": range(13)})})
    assert "<details>" not in _report(opening=opening)  # what a reader sees first is open


def test_shares_are_shaded():
    page = _report(items={"metrics": pd.DataFrame({"accuracy": [1.0]})})
    assert 'class="number share" style="--share: 1.00"' in page


def test_page_without_items_and_notes_is_rendered():
    assert "Notes" not in _report(items={}, notes=[])
    assert "a &lt; b" in _report(items={})
    assert "No rows." in _report(items={"metrics": COMPARED.head(0)})


def test_a_cell_may_lead_to_another_page_and_its_text_is_escaped():
    table = pd.DataFrame({"data_set": [Link("a<b", "a b/compare/report.html")]})
    page = render_report(title="All", dataset="", is_demo=False, summary={}, items={"sets": table})
    assert '<a href="a b/compare/report.html">a&lt;b</a>' in page


def test_a_fact_at_the_foot_may_lead_to_another_page():
    facts = {"champion": Link("its <card>", "champion/README.md"), "papers": "1"}
    page = render_report(title="All", dataset="", is_demo=False, summary=facts, items={})
    assert '<dd><a href="champion/README.md">its &lt;card&gt;</a></dd>' in page
    assert "<dd>1</dd>" in page


def test_a_command_in_a_table_is_set_as_code():
    table = pd.DataFrame({"command": ["kedro run --pipeline=blend"]})
    page = render_report(title="All", dataset="", is_demo=False, summary={}, items={"run": table})
    assert "<code>kedro run --pipeline=blend</code>" in page
