"""Ensembles as tables: predictions of several variants combined into those of one more.

``ensembles`` maps the name of each ensemble to its members, how they are combined and, perhaps, how
many of them are chosen (`Ensembles`). Chosen are those of the highest macro-F1, and

- ``mean``: the mean of the members' probabilities.
- ``weighted``: their weighted mean, then one temperature, of the smallest log loss.
- ``vote``: the share of members whose most probable class it is; see `VOTE`.
- ``calibrated``: the mean after one temperature of each member, of its smallest log loss.
- ``by_class``: a weighted mean whose weights depend on the class that each member answers, so that
  a member is trusted where it is right; see `fit_by_class`.

What is chosen or fitted is so on the clean images of the ``validation`` part, separately for each
protocol, seed and fold.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.confusion import macro_f1
from wbc_pipeline.evaluation.scores.metrics import class_names

# Members, how they are combined and, perhaps, how many of them are chosen.
Ensembles = Mapping[str, tuple[Sequence[str], str] | tuple[Sequence[str], str, int | None]]
COMBINE = ("mean", "weighted", "vote", "calibrated", "by_class")
FITTED = ("weighted", "calibrated", "by_class")

SPLIT_KEYS = ["protocol", "seed", "fold"]
IMAGE_KEYS = [*SPLIT_KEYS, "part", "condition", "image_id"]
# The share of votes counts this much and the mean probability the rest. That breaks ties, keeps
# probabilities above 0, so that the log loss is finite, and never outweighs a vote.
VOTE = 0.999
TEMPERATURES = (0.2, 5.0)  # so that a few dozen validation images cannot make it arbitrarily sure
SMALLEST_PROBABILITY = 1e-12  # as of single networks


@dataclass(frozen=True)
class _Fitted:
    """How the members of an ensemble are combined in one protocol, seed and fold.

    Attributes
    ----------
    split
        Protocol, seed and fold.
    images
        Row numbers of its images, of all parts.
    chosen
        Numbers of the members that are combined, k of them.
    weights
        Of the chosen ones, [k], or of each for each class that it answers, [k, C]; these sum to
        nothing in particular, as the members of an image answer different classes.
    temperatures
        Of the chosen ones before they are combined, [k].
    temperature
        Of what is combined.
    macro_f1
        Of the chosen ones on the validation part, [k]; NaN where nothing was chosen.
    """

    split: dict
    images: np.ndarray
    chosen: np.ndarray
    weights: np.ndarray
    temperatures: np.ndarray
    temperature: float
    macro_f1: np.ndarray


def combine_predictions(predictions: pd.DataFrame, ensembles: Ensembles) -> pd.DataFrame:
    """Append the predictions of each ensemble to those of its members.

    Parameters
    ----------
    predictions
        One row per image and run (design: predictions), of all parts and conditions.
    ensembles
        ``{name: (members, combine)}`` or ``{name: (members, combine, best)}``; ``combine`` is one
        of ``mean``, ``weighted``, ``vote``, ``calibrated`` and ``by_class``, and ``best`` is how
        many members are chosen, None for all.

    Returns
    -------
    DataFrame
        ``predictions``, then the rows of each ensemble with its name as ``variant``.
        ``inference_ms`` is the sum over those combined; columns of masks and boxes are missing.

    Raises
    ------
    ValueError
        If a member has no predictions, members did not predict the same images, the way to combine
        them is unknown, or there are no validation rows to choose or fit on; the message names the
        ensemble.
    """
    tables, classes = [predictions], class_names(predictions)
    aligned = _Aligned(predictions)
    for name, how in ensembles.items():
        rows, probability, times = aligned.of(name, how[0])
        combined, seconds = np.empty_like(probability[0]), np.empty(len(rows))
        for fitted in _fit_splits(name, how, rows, probability, classes):
            members = probability[fitted.chosen][:, fitted.images]
            combined[fitted.images] = _combine(how[1], members, fitted)
            seconds[fitted.images] = times[fitted.chosen][:, fitted.images].sum(axis=0)
        combined = np.maximum(combined, SMALLEST_PROBABILITY)
        combined /= combined.sum(axis=1, keepdims=True)
        probabilities = pd.DataFrame(combined, columns=[f"p_{label}" for label in classes])
        rows = rows.assign(inference_ms=seconds, variant=name)
        tables.append(pd.concat([rows, probabilities], axis=1))
    return pd.concat(tables, ignore_index=True)


@described(
    heading="Weights of ensembles",
    caption="Members of ensembles, with what was chosen and fitted on the validation part: their "
    "macro-F1 there where the best were chosen, weights, and temperatures. With an answer, the "
    "weight is the member's among all if all answer that class.",
)
def ensemble_weights(predictions: pd.DataFrame, ensembles: Ensembles) -> pd.DataFrame:
    """Choose and fit what each ensemble chooses and fits.

    Parameters
    ----------
    predictions, ensembles
        As for `combine_predictions`.

    Returns
    -------
    DataFrame
        A row per ensemble (``variant``), ``protocol``, ``seed``, ``fold``, ``member`` and, for
        ``by_class``, class that the member answers (``answer``, else None): its ``weight`` (0 to 1,
        they sum to 1), a ``temperature`` (0.2 to 5; above 1 lowers confidences; the member's own if
        ``calibrated``, the ensemble's if ``weighted``, else 1) and ``validation_macro_f1`` (NaN
        unless members were chosen). No rows of ensembles that neither choose nor fit.

    Raises
    ------
    ValueError
        See `combine_predictions`.
    """
    found, classes = [], class_names(predictions)
    aligned = _Aligned(predictions)
    for name, how in ensembles.items():
        members, combine, best = _complete(how)
        if best is None and combine not in FITTED:
            continue
        rows, probability, _ = aligned.of(name, members)
        for fitted in _fit_splits(name, how, rows, probability, classes):
            for place, member in enumerate(fitted.chosen):
                own = {"variant": name, **fitted.split, "member": members[member]} | {
                    "temperature": fitted.temperatures[place] * fitted.temperature,
                    "validation_macro_f1": fitted.macro_f1[place],
                }
                weights = fitted.weights[place] / fitted.weights.sum(axis=0)
                answers = classes if weights.ndim else [None]
                found += [
                    own | {"answer": answer, "weight": weight}
                    for answer, weight in zip(answers, np.atleast_1d(weights), strict=True)
                ]
    columns = ["member", "answer", "weight", "temperature", "validation_macro_f1"]
    return pd.DataFrame(found, columns=["variant", *SPLIT_KEYS, *columns])


def rank_networks(
    probability: np.ndarray, truth: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Order networks by their macro-F1, the highest first; of equals the first stays first.

    Parameters
    ----------
    probability
        [networks, N, C].
    truth
        Class of each image, int [N].
    classes
        How many there are.

    Returns
    -------
    order
        Numbers of the networks, [networks].
    scores
        Macro-F1 of each, in the order of ``probability``.
    """
    confusion = np.zeros((len(probability), classes, classes))
    for counts, answers in zip(confusion, probability.argmax(axis=-1), strict=True):
        np.add.at(counts, (truth, answers), 1)
    scores = macro_f1(confusion)
    return np.argsort(-scores, kind="stable"), scores


def fit_by_class(probability: np.ndarray, truth: np.ndarray, *, spread: float = 1.0) -> np.ndarray:
    """Fit how much each network is trusted for each class that it answers.

    An image's probabilities are the mean of the networks', weighted by ``w[m, c_m]``, where ``c_m``
    is what network m answers, over the sum of these weights. The logarithms of the weights minimise
    the log loss, with a normal prior about 0 that keeps networks alike where there is little to
    learn from.

    Parameters
    ----------
    probability
        [networks, N, C].
    truth
        Class of each image, int [N].
    spread
        Standard deviation of the prior.

    Returns
    -------
    ndarray
        Weights [networks, C], above 0. Networks may answer different classes, so that weights of
        different classes are held against each other: they are not shares.
    """
    networks, images, classes = probability.shape
    answers = probability.argmax(axis=-1)  # [networks, N]
    right = np.maximum(probability[:, np.arange(images), truth], SMALLEST_PROBABILITY)
    place = np.arange(networks)[:, None] * classes + answers

    def loss(trust: np.ndarray) -> tuple[float, np.ndarray]:
        shares = softmax(trust[place], axis=0)
        mixture = (shares * right).sum(axis=0)
        of_image = shares * (1 - right / mixture)  # derivative of -log(mixture)
        slope = np.bincount(place.ravel(), of_image.ravel(), minlength=len(trust))
        penalty = (trust**2).sum() / (2 * spread**2)
        return penalty - np.log(mixture).sum(), slope + trust / spread**2

    start = np.zeros(networks * classes)
    trust = minimize(loss, start, jac=True, method="L-BFGS-B").x
    return np.exp(trust.reshape(networks, classes))


def _complete(how: tuple) -> tuple[Sequence[str], str, int | None]:
    return (*how, None) if len(how) == 2 else how


def _combine(combine: str, probability: np.ndarray, fitted: _Fitted) -> np.ndarray:
    """Combine the probabilities of the chosen members, [k, N, C] -> [N, C]."""
    if combine == "vote":
        votes = np.eye(probability.shape[-1])[probability.argmax(axis=-1)]
        return VOTE * votes.mean(axis=0) + (1 - VOTE) * probability.mean(axis=0)
    if combine == "weighted":
        mixture = _log_mixture(fitted.weights, probability)
        return softmax(mixture / fitted.temperature, axis=1)
    if combine == "calibrated":
        logits = np.log(np.maximum(probability, SMALLEST_PROBABILITY))
        return softmax(logits / fitted.temperatures[:, None, None], axis=2).mean(axis=0)
    if combine == "by_class":
        answers = probability.argmax(axis=-1)
        weights = np.take_along_axis(fitted.weights, answers, axis=1)  # [k, N]
        return np.average(probability, axis=0, weights=_each_class(weights, probability))
    return probability.mean(axis=0)


def _each_class(weights: np.ndarray, probability: np.ndarray) -> np.ndarray:
    return np.broadcast_to(weights[:, :, None], probability.shape)


class _Aligned:
    """Predictions of the members of ensembles, in one order; once for all with the same members."""

    def __init__(self, predictions: pd.DataFrame):
        self._predictions = predictions.reset_index(drop=True)
        self._found: dict[tuple[str, ...], tuple] = {}

    @cached_property
    def _images(self) -> np.ndarray:
        """Number what each row shows."""
        groups = self._predictions.groupby(IMAGE_KEYS, sort=False, observed=True)
        return groups.ngroup().to_numpy()

    @cached_property
    def _rows(self) -> dict[str, np.ndarray]:
        return self._predictions.groupby("variant", observed=True).indices

    @cached_property
    def _probability(self) -> np.ndarray:
        columns = [f"p_{label}" for label in class_names(self._predictions)]
        return self._predictions[columns].to_numpy(float)

    def of(self, name: str, members: Sequence[str]) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
        """Give the rows that all members of an ensemble share, as of the first one.

        Returns
        -------
        rows
            ``IMAGE_KEYS``, ``dataset``, ``source_id`` and ``label``.
        probability, times
            Of the members, [members, N, C] and [members, N].

        Raises
        ------
        ValueError
            If a member has no predictions, or not of the same images.
        """
        key = tuple(members)
        if key not in self._found:
            self._found[key] = self._align(name, members)
        return self._found[key]

    def _align(
        self, name: str, members: Sequence[str]
    ) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
        for member in members:
            if member not in self._rows:
                raise ValueError(
                    f"member {member!r} of ensemble {name!r} has no predictions, only "
                    f"{', '.join(self._predictions['variant'].unique())} have: correct its name, "
                    "or run it too"
                )
        first = self._rows[members[0]]
        in_order = np.argsort(self._images[first])
        shown, place = self._images[first][in_order], np.argsort(in_order)
        aligned = [first]
        for member in members[1:]:
            rows = self._rows[member]
            rows = rows[np.argsort(self._images[rows])]
            apart = np.setxor1d(shown, self._images[rows])
            if len(apart):
                row = self._predictions.loc[self._images == apart[0], IMAGE_KEYS].iloc[0]
                raise ValueError(
                    f"{members[0]!r} and {member!r} of ensemble {name!r} did not predict the same "
                    f"images: {len(apart)} were predicted by one alone, the first with "
                    f"{_named(row.to_dict())}: run all members on the same splits and conditions"
                )
            if not np.array_equal(shown, self._images[rows]):
                raise ValueError(
                    f"{members[0]!r} and {member!r} of ensemble {name!r} predicted an image a "
                    "different number of times: predict each image once"
                )
            aligned.append(rows[place])
        known = self._predictions.loc[first, [*IMAGE_KEYS, "dataset", "source_id", "label"]]
        rows = np.stack(aligned)  # [members, N]
        times = self._predictions["inference_ms"].to_numpy(float)[rows]
        return known.reset_index(drop=True), self._probability[rows], times


def _log_mixture(weights: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Log of the weighted mean of [members, N, C], [N, C]."""
    mixture = np.tensordot(weights, probability, axes=1)
    return np.log(np.maximum(mixture, SMALLEST_PROBABILITY))


def _fit_splits(
    name: str, how: tuple, rows: pd.DataFrame, probability: np.ndarray, classes: Sequence[str]
) -> Iterator[_Fitted]:
    """Choose and fit for each protocol, seed and fold."""
    _, combine, best = _complete(how)
    if combine not in COMBINE:
        raise ValueError(
            f"ensemble {name!r} combines its members by {combine!r}: write one of "
            f"{', '.join(COMBINE)}"
        )
    truth = pd.Index(classes).get_indexer(rows["label"].astype(object))
    is_fitted_on = ((rows["part"] == "validation") & (rows["condition"] == "clean")).to_numpy()
    for values, group in rows.groupby(SPLIT_KEYS, sort=False):
        split, images = dict(zip(SPLIT_KEYS, values, strict=True)), group.index.to_numpy()
        known = images[is_fitted_on[images]]
        if not len(known) and (combine in FITTED or best is not None):
            raise ValueError(
                f"ensemble {name!r} is {'chosen' if combine not in FITTED else combine}, but its "
                f"members have no clean predictions of the part 'validation' for {_named(split)}: "
                "predict that part too, or combine named members by mean or vote"
            )
        chosen, scores = np.arange(len(probability)), np.full(len(probability), np.nan)
        if best is not None:
            order, scores = rank_networks(probability[:, known], truth[known], len(classes))
            chosen = order[:best]
        fitted = _fit_one(combine, probability[chosen][:, known], truth[known])
        yield _Fitted(split, images, chosen, *fitted, scores[chosen])


def _fit_one(
    combine: str, probability: np.ndarray, truth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Fit weights, temperatures of members [k], and one of all."""
    members = len(probability)
    weights, temperatures = np.full(members, 1 / members), np.ones(members)
    if combine == "weighted":
        weights, temperature = _fit(probability, truth)
        return weights, temperatures, temperature
    if combine == "calibrated":
        temperatures = np.array([_fit(each[None], truth)[1] for each in probability])
    if combine == "by_class":
        weights = fit_by_class(probability, truth)
    return weights, temperatures, 1.0


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
