"""Classes by the codes of the WBCBench challenge, whatever a data set calls them.

``predictions`` are those of the design, test rows alone; only the condition ``clean`` counts.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.audit.gaps import CLASSES, OTHER, harmonise
from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.by_source import recalls
from wbc_pipeline.evaluation.scores.metrics import class_names

KNOWN_CODES = (*CLASSES, *OTHER)


def labels_of(codes: Iterable[str], classes: Sequence[str]) -> list[str]:
    """Find what a data set calls classes that are given by their codes, in the order of the codes.

    A class that stands in no data set's labels is left out.

    Examples
    --------
    >>> labels_of(["MMY", "BNE", "SNE"], ["band_neutrophil", "lymphocyte", "SNE"])
    ['band_neutrophil', 'SNE']
    """
    return [name for code in codes for name in classes if code in (name, harmonise(name))]


@described(
    heading="Recall of each class",
    caption="Share of each class that was recognised, over all seeds, with intervals over cells, "
    "beside what the paper prints of its validation part. support: test images of the class, of "
    "all seeds together, and the cells behind them; a class that is not tested has no recall.",
)
def recalls_with_support(
    predictions: pd.DataFrame,
    printed: Mapping[str, Mapping[str, object]],
    *,
    level: float = 0.95,
) -> pd.DataFrame:
    """Put the recall of each class as printed beside ours, with how much stands behind it.

    Parameters
    ----------
    predictions
        See the module.
    printed
        ``{variant: {code: recall}}``, recalls as shares. A class that the data set lacks is listed
        with its printed recall alone.
    level
        Coverage of Wilson's interval over sources.

    Returns
    -------
    DataFrame
        As ``by_source.recalls``, with ``code``, and by protocol ``<protocol>_support`` (images) and
        ``<protocol>_sources``.
    """
    clean = predictions[predictions["condition"] == "clean"].reset_index(drop=True)
    classes = class_names(clean)
    own = {
        variant: {
            label: value for code, value in values.items() for label in labels_of([code], classes)
        }
        for variant, values in printed.items()
    }
    table = recalls(clean, own, level=level)
    table.insert(1, "code", table["label"].map(lambda label: harmonise(label) or ""))
    keys = ["variant", "label"]
    for protocol, rows in clean.groupby("protocol", sort=False, observed=True):
        groups = rows.groupby(keys, observed=True)
        counts = pd.DataFrame({"support": groups.size(), "sources": _sources(groups)})
        places = pd.MultiIndex.from_frame(table[keys])
        run = table["variant"].isin(rows["variant"])
        for name in counts:
            found = counts[name].reindex(places).fillna(0).to_numpy(float)
            table[f"{protocol}_{name}"] = pd.array(np.where(run, found, np.nan), dtype="Int64")
    lacking = [
        {"variant": variant, "code": code, "label": code, "printed": str(value)}
        for variant, values in printed.items()
        if variant in set(table["variant"])
        for code, value in values.items()
        if not labels_of([code], classes)
    ]
    return pd.concat([table, pd.DataFrame(lacking)]) if lacking else table


def _sources(groups) -> pd.Series:
    """Count the independent cells of each group; images of unknown source count as one each."""
    known = groups["source_id"].nunique()
    unknown = groups["source_id"].agg(lambda sources: sources.isna().sum())
    return known + unknown
