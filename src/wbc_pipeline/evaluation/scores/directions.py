"""Directions of a shift: which stain, laboratory or data set is tested after the others."""

import numpy as np
import pandas as pd

SHIFTS = ("domain", "dataset")  # protocols, and the columns that say what a fold of theirs tests


def split_directions(predictions: pd.DataFrame) -> pd.DataFrame:
    """Make each direction of a shift a protocol of its own: ``to <stain>``, ``to <data set>``.

    Directions come after the other protocols, whose folds stay together.

    Parameters
    ----------
    predictions
        Test rows; with the ``domain`` of each image if it is known.

    Examples
    --------
    >>> tests = {"protocol": ["domain", "domain", "source"], "fold": [0, 1, 1]}
    >>> split_directions(pd.DataFrame(tests))["protocol"].tolist()
    ['source', 'domain 0', 'domain 1']
    >>> tests["domain"] = ["a", "b", "a"]
    >>> split_directions(pd.DataFrame(tests))["protocol"].tolist()
    ['source', 'to a', 'to b']
    """
    protocol = predictions["protocol"].astype(object)
    for shift in SHIFTS:
        tested_on = shift + " " + predictions["fold"].astype(str)
        if shift in predictions:
            named = predictions[shift].notna()
            tested_on = ("to " + predictions[shift].astype(str)).where(named, tested_on)
        protocol = protocol.where(protocol != shift, tested_on)
    is_shift = predictions["protocol"].isin(SHIFTS).to_numpy()
    return predictions.assign(protocol=protocol).iloc[np.argsort(is_shift, kind="stable")]
