"""Ensembles as tables: predictions of several variants combined into those of one more.

``ensembles`` maps the name of each ensemble to its members and how they are combined:

- ``mean``: the mean of the members' probabilities.
- ``weighted``: their weighted mean, then one temperature. Both minimise the log loss on the clean
  images of the ``validation`` part, separately for each protocol, seed and fold.
- ``vote``: the share of members whose most probable class it is; see `VOTE`.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.metrics import class_names

Ensembles = Mapping[str, tuple[Sequence[str], str]]

SPLIT_KEYS = ["protocol", "seed", "fold"]
IMAGE_KEYS = [*SPLIT_KEYS, "part", "condition", "image_id"]
# The share of votes counts this much and the mean probability the rest. That breaks ties, keeps
# probabilities above 0, so that the log loss is finite, and never outweighs a vote.
VOTE = 0.999
TEMPERATURES = (0.2, 5.0)  # so that a few dozen validation images cannot make it arbitrarily sure
SMALLEST_PROBABILITY = 1e-12  # as of single networks


def combine_predictions(predictions: pd.DataFrame, ensembles: Ensembles) -> pd.DataFrame:
    """Append the predictions of each ensemble to those of its members.

    Parameters
    ----------
    predictions
        One row per image and run (design: predictions), of all parts and conditions.
    ensembles
        ``{name: (members, "mean" | "weighted" | "vote")}``.

    Returns
    -------
    DataFrame
        ``predictions``, then the rows of each ensemble with its name as ``variant``.
        ``inference_ms`` is the sum over members; columns of masks and boxes are missing there.

    Raises
    ------
    ValueError
        If a member has no predictions, members did not predict the same images, the way to combine
        them is unknown, or there are no validation rows to fit weights to; the message names the
        ensemble.
    """
    tables, classes = [predictions], class_names(predictions)
    for name, (members, combine) in ensembles.items():
        rows, probability = _align(predictions, name, members)
        mean = probability.mean(axis=0)
        if combine == "mean":
            combined = mean
        elif combine == "vote":
            votes = np.eye(probability.shape[-1])[probability.argmax(axis=-1)]
            combined = VOTE * votes.mean(axis=0) + (1 - VOTE) * mean
        elif combine == "weighted":
            combined = np.empty_like(mean)
            for _, images, weights, temperature in _fit_splits(name, rows, probability, classes):
                logits = _log_mixture(weights, probability[:, images]) / temperature
                combined[images] = softmax(logits, axis=1)
        else:
            raise ValueError(
                f"ensemble {name!r} combines its members by {combine!r}: write mean, weighted or "
                "vote"
            )
        combined = np.maximum(combined, SMALLEST_PROBABILITY)
        combined /= combined.sum(axis=1, keepdims=True)
        probabilities = pd.DataFrame(combined, columns=[f"p_{label}" for label in classes])
        tables.append(pd.concat([rows.assign(variant=name), probabilities], axis=1))
    return pd.concat(tables, ignore_index=True)


@described(
    heading="Weights of ensembles",
    caption="Weights of the members, and a temperature, fitted on the validation part.",
)
def ensemble_weights(predictions: pd.DataFrame, ensembles: Ensembles) -> pd.DataFrame:
    """Fit the weights and the temperature of each ensemble that is ``weighted``.

    Parameters
    ----------
    predictions, ensembles
        As for `combine_predictions`.

    Returns
    -------
    DataFrame
        A row per ensemble (``variant``), ``protocol``, ``seed``, ``fold`` and ``member``: its
        ``weight`` (0 to 1, they sum to 1) and the ensemble's ``temperature`` (0.2 to 5; above 1
        lowers confidences). No rows if no ensemble is weighted.

    Raises
    ------
    ValueError
        See `combine_predictions`.
    """
    found = []
    for name, (members, combine) in ensembles.items():
        if combine == "weighted":
            fitted = _fit_splits(
                name, *_align(predictions, name, members), class_names(predictions)
            )
            found += [
                {"variant": name, **split, "member": member}
                | {"weight": weight, "temperature": temperature}
                for split, _, weights, temperature in fitted
                for member, weight in zip(members, weights, strict=True)
            ]
    return pd.DataFrame(found, columns=["variant", *SPLIT_KEYS, "member", "weight", "temperature"])


def _align(
    predictions: pd.DataFrame, name: str, members: Sequence[str]
) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows that all members share, and their probabilities in the same order, [members, N, C]."""
    known = predictions["variant"].unique()
    for member in members:
        if member not in known:
            raise ValueError(
                f"member {member!r} of ensemble {name!r} has no predictions, only "
                f"{', '.join(known)} have: correct its name, or run it too"
            )
    first, *others = (
        predictions[predictions["variant"] == member].set_index(IMAGE_KEYS) for member in members
    )
    for member, table in zip(members[1:], others, strict=True):
        apart = first.index.symmetric_difference(table.index)
        if len(apart):
            image = _named(dict(zip(IMAGE_KEYS, apart[0], strict=True)))
            raise ValueError(
                f"{members[0]!r} and {member!r} of ensemble {name!r} did not predict the same "
                f"images: {len(apart)} were predicted by one alone, the first with {image}: run "
                "all members on the same splits and conditions"
            )
    tables = [first, *(table.loc[first.index] for table in others)]
    columns = [f"p_{label}" for label in class_names(predictions)]
    rows = first[["dataset", "source_id", "label"]].assign(
        inference_ms=sum(table["inference_ms"] for table in tables)
    )
    return rows.reset_index(), np.stack([table[columns].to_numpy(float) for table in tables])


def _log_mixture(weights: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Log of the weighted mean of [members, N, C], [N, C]."""
    mixture = np.tensordot(weights, probability, axes=1)
    return np.log(np.maximum(mixture, SMALLEST_PROBABILITY))


def _fit_splits(
    name: str, rows: pd.DataFrame, probability: np.ndarray, classes: Sequence[str]
) -> Iterator[tuple[dict, np.ndarray, np.ndarray, float]]:
    """Yield the keys, row numbers, weights and temperature of each protocol, seed and fold."""
    truth = pd.Index(classes).get_indexer(rows["label"].astype(object))
    is_fitted_on = ((rows["part"] == "validation") & (rows["condition"] == "clean")).to_numpy()
    for values, group in rows.groupby(SPLIT_KEYS, sort=False):
        split, images = dict(zip(SPLIT_KEYS, values, strict=True)), group.index.to_numpy()
        chosen = images[is_fitted_on[images]]
        if not len(chosen):
            raise ValueError(
                f"ensemble {name!r} is weighted, but its members have no clean predictions of the "
                f"part 'validation' for {_named(split)}: predict that part too, or combine by mean "
                "or vote"
            )
        yield split, images, *_fit(probability[:, chosen], truth[chosen])


def _fit(probability: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights of the members and the temperature with the smallest log loss."""
    members, images = len(probability), np.arange(len(truth))

    def loss(parameters: np.ndarray) -> float:
        *weights, log_temperature = parameters
        logits = _log_mixture(weights, probability) / np.exp(log_temperature)
        return -log_softmax(logits, axis=1)[images, truth].mean()

    found = minimize(
        loss,
        x0=[*np.full(members, 1 / members), 0.0],
        method="SLSQP",
        bounds=[*[(0, 1)] * members, np.log(TEMPERATURES)],
        constraints={"type": "eq", "fun": lambda parameters: parameters[:-1].sum() - 1},
    ).x
    weights = np.clip(found[:-1], 0, 1)
    return weights / weights.sum(), float(np.exp(found[-1]))


def _named(keys: Mapping[str, object]) -> str:
    return ", ".join(f"{key}={value}" for key, value in keys.items())
