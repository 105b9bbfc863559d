"""How far an answer can be trusted: calibrated confidence, and likeness to the training data.

Fitted beside a finished training and kept beside its network: the training part says what its
images look like to the network, the validation part how sure right answers are and where the limits
lie.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

CONFIDENCE_FILE, LIKENESS_FILE = "confidence.json", "likeness.safetensors"
CONFIDENCE_FILES = (CONFIDENCE_FILE, LIKENESS_FILE)
TEMPERATURES = (0.2, 5.0)  # so that a few dozen images cannot make it arbitrarily sure
_EXPLAINED = 0.95  # share of the features' variance within classes that gets directions of its own
_FLOOR = 1e-6  # variance of what never varies in training, in largest variances


@dataclass(frozen=True)
class Likeness:
    """Normal distributions of a network's features, one a class, of one covariance.

    The covariance has a few directions with variances of their own and one variance for all others,
    as in probabilistic principal component analysis, so that features may outnumber images.

    Attributes
    ----------
    means
        float32 [C, F].
    directions
        float32 [k, F], orthonormal.
    variances
        float32 [k].
    rest
        float32 [1], the variance in all other directions.
    """

    means: np.ndarray
    directions: np.ndarray
    variances: np.ndarray
    rest: np.ndarray

    def distance(self, features: np.ndarray) -> np.ndarray:
        """Mahalanobis distance to the nearest class.

        Parameters
        ----------
        features
            float [N, F].

        Returns
        -------
        np.ndarray
            float64 [N].
        """
        nearest = np.full(len(features), np.inf)
        for mean in self.means[~np.isnan(self.means).any(axis=1)].astype(float):
            away = features - mean
            along = away @ self.directions.T.astype(float)
            beside = np.maximum((away**2).sum(axis=1) - (along**2).sum(axis=1), 0)
            nearest = np.minimum(
                nearest, (along**2 / self.variances).sum(axis=1) + beside / self.rest
            )
        return np.sqrt(nearest)


@dataclass(frozen=True)
class Confidence:
    """What is known of a network's answers beside the network.

    Attributes
    ----------
    temperature
        That logits are divided by, so that confidences are calibrated.
    least_confidence
        Below this calibrated confidence the network abstains, 0 to 1.
    farthest
        Beyond this distance an image is unlike the training data.
    cell_share
        Part of the longer side of a training image that its cell takes, 0 to 1; None: not known.
    aspect
        Width of the training images over their height.
    images
        By part, how many images it was fitted on.
    """

    temperature: float
    least_confidence: float
    farthest: float
    cell_share: float | None
    aspect: float
    images: dict[str, int]

    def calibrate(self, probabilities: np.ndarray) -> np.ndarray:
        """Give calibrated probabilities, float64 [N, C], of the network's own."""
        return calibrate(probabilities, self.temperature)


def calibrate(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Give probabilities, [N, C] and above 0, with their logits divided by a temperature."""
    return softmax(np.log(probabilities) / temperature, axis=1)


def fit_likeness(features: np.ndarray, labels: np.ndarray, classes: int) -> Likeness:
    """Fit what images of the training part look like to a network.

    Parameters
    ----------
    features
        float [N, F].
    labels
        Class numbers, int [N].
    classes
        How many there are; one without an image has no mean.

    References
    ----------
    K. Lee et al., "A simple unified framework for detecting out-of-distribution samples and
    adversarial attacks", NeurIPS 2018: distances. M. E. Tipping and C. M. Bishop, "Probabilistic
    principal component analysis", J. R. Stat. Soc. B 61(3), 1999: the covariance.
    """
    from sklearn.decomposition import PCA

    features = np.asarray(features, float)
    means = np.full((classes, features.shape[1]), np.nan)
    for number in np.unique(labels):
        means[number] = features[labels == number].mean(axis=0)
    within = features - means[labels]
    if not within.any():  # an image a class, or a network that tells none apart
        return _as_likeness(means, np.empty((0, features.shape[1])), np.empty(0), 1.0)
    found = PCA(_EXPLAINED, svd_solver="full").fit(within)
    variances = found.explained_variance_
    rest = max(float(found.noise_variance_), _FLOOR * variances[0])
    return _as_likeness(means, found.components_, np.maximum(variances, rest), rest)


def _as_likeness(*parts: np.ndarray | float) -> Likeness:
    return Likeness(*(np.atleast_1d(part).astype(np.float32) for part in parts))


def fit_temperature(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Fit the temperature of the smallest log loss.

    Parameters
    ----------
    probabilities
        float [N, C] of the validation part, above 0.
    truth
        Class numbers, int [N].

    References
    ----------
    C. Guo et al., "On calibration of modern neural networks", ICML 2017.

    Examples
    --------
    >>> sure = np.array([[0.99, 0.01]] * 4)
    >>> fit_temperature(sure, np.array([0, 0, 0, 1])) > 1  # right three times in four
    True
    """
    logits, images = np.log(probabilities), np.arange(len(truth))

    def loss(log_temperature: float) -> float:
        return -log_softmax(logits / np.exp(log_temperature), axis=1)[images, truth].mean()

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded")
    return float(np.exp(found.x))


def abstention_limit(confidence: np.ndarray, answered: float) -> float:
    """Find the confidence that so large a share (0 to 1) of the validation part has at least."""
    return float(np.quantile(confidence, 1 - answered, method="lower"))


def likeness_limit(distance: np.ndarray, typical: float) -> float:
    """Find the distance that so large a share (0 to 1) of the validation part has at most."""
    return float(np.quantile(distance, typical, method="higher"))


def save_confidence(folder: Path, confidence: Confidence, likeness: Likeness) -> None:
    """Write both into a folder."""
    from safetensors.numpy import save_file

    arrays = {
        field.name: np.ascontiguousarray(getattr(likeness, field.name))
        for field in fields(likeness)
    }
    save_file(arrays, folder / LIKENESS_FILE)
    (folder / LIKENESS_FILE).chmod(0o644)
    (folder / CONFIDENCE_FILE).write_text(json.dumps(asdict(confidence), indent=2))


def load_confidence(folder: Path) -> tuple[Confidence, Likeness] | None:
    """Read what `save_confidence` wrote; None where nothing is."""
    from safetensors.numpy import load_file

    if not all((folder / name).is_file() for name in CONFIDENCE_FILES):
        return None
    told = json.loads((folder / CONFIDENCE_FILE).read_text())
    return Confidence(**told), Likeness(**load_file(folder / LIKENESS_FILE))
