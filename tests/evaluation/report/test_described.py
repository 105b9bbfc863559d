import pandas as pd
import plotly.graph_objects as go
import pytest
from matplotlib.figure import Figure

from wbc_pipeline.evaluation.report.described import caption_of, describe, described, heading_of


@pytest.mark.parametrize("make", [pd.DataFrame, Figure, go.Figure])
def test_what_a_described_function_returns_carries_its_texts(make):
    @described(heading="Cost", caption="Times per image.")
    def show():
        """Show the cost."""
        return make()

    assert heading_of(show()) == heading_of(show) == "Cost"
    assert caption_of(show()) == "Times per image."
    assert show.__doc__ == "Show the cost."
    assert heading_of(make()) == caption_of(make()) == ""


def test_tables_that_one_function_returns_may_be_described_apart():
    first, second = describe(pd.DataFrame(), "One"), describe(pd.DataFrame(), "Two", "caption")
    assert [heading_of(first), heading_of(second)] == ["One", "Two"]
    assert describe(second, "Three").attrs == {"heading": "Three", "caption": ""}


def test_texts_outlive_a_parquet_file(tmp_path):
    path = tmp_path / "table.parquet"
    describe(pd.DataFrame({"seed": [0]}), "Trainings", "All of them.").to_parquet(path)
    assert heading_of(pd.read_parquet(path)) == "Trainings"
