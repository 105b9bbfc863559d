"""Local features of images, and maps that lay one image over another."""

import cv2
import numpy as np

_REPROJECTION = 3.0  # pixels that a matched feature may lie off


#: A local feature: where it lies in pixels, its width, its direction in degrees, and its raw SIFT
#: descriptor, which OpenCV rounds to whole numbers.
FEATURE = np.dtype([("point", "f4", 2), ("size", "f4"), ("angle", "f4"), ("descriptor", "u1", 128)])


def detect(grey: np.ndarray, number: int, where: np.ndarray | None = None) -> np.ndarray:
    """Find the strongest local features (SIFT [1]_).

    Parameters
    ----------
    grey
        uint8 [H, W].
    number
        How many at most, the strongest ones; more where the last are equally strong.
    where
        uint8 [H, W], not 0 where features may lie; None for everywhere.

    Returns
    -------
    `FEATURE` [F].

    References
    ----------
    .. [1] Lowe, Distinctive image features from scale-invariant keypoints, IJCV 60, 2004.
    """
    sift = cv2.SIFT_create(nfeatures=number, contrastThreshold=0.02)  # smears are soft
    keypoints, descriptors = sift.detectAndCompute(grey, where)
    features = np.empty(len(keypoints), FEATURE)
    if keypoints:
        features["point"] = cv2.KeyPoint.convert(keypoints)
        features["size"] = [keypoint.size for keypoint in keypoints]
        features["angle"] = [keypoint.angle for keypoint in keypoints]
        features["descriptor"] = descriptors
    return features


def root_descriptors(features: np.ndarray) -> np.ndarray:
    """Take the square roots of descriptors, which makes them robust [1]_.

    Parameters
    ----------
    features
        `FEATURE` [F].

    Returns
    -------
    float32 [F, 128], of length 1 each.

    References
    ----------
    .. [1] Arandjelovic and Zisserman, Three things everyone should know to improve object
       retrieval, CVPR 2012.
    """
    descriptors = features["descriptor"].astype(np.float32)
    return np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-6))


def describe(
    grey: np.ndarray, number: int, where: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Find the strongest local features; the parameters are those of `detect`.

    Returns
    -------
    points
        float32 [F, 2], x and y in pixels.
    descriptors
        float32 [F, 128], of length 1 each; see `root_descriptors`.
    """
    features = detect(grey, number, where)
    return features["point"].copy(), root_descriptors(features)


def fit_map(
    points: np.ndarray, onto: np.ndarray, cosines: np.ndarray, *, similar: float
) -> np.ndarray | None:
    """Fit an affine map that lays features of one image over those of another, by RANSAC [1]_.

    Parameters
    ----------
    points
        float32 [P, 2], features of the image to be laid over the other.
    onto
        float32 [Q, 2], features of the other.
    cosines
        float32 [Q, P] of their descriptors.
    similar
        Cosine from which a feature and its nearest neighbour may show the same spot.

    Returns
    -------
    float64 [2, 3], or None if fewer than four features match or no map fits them.

    References
    ----------
    .. [1] Fischler and Bolles, Random sample consensus, CACM 24, 1981.
    """
    nearest = cosines.argmax(axis=1)
    kept = cosines[np.arange(len(cosines)), nearest] >= similar
    if kept.sum() < 4:  # three fix an affine map; a fourth tests it
        return None
    transform, _ = cv2.estimateAffine2D(
        points[nearest[kept]], onto[kept], method=cv2.RANSAC, ransacReprojThreshold=_REPROJECTION
    )
    return transform


def compare(
    laid: np.ndarray, transform: np.ndarray, below: np.ndarray, inside: np.ndarray | None = None
) -> tuple[float, float]:
    """Correlate two images where one, laid over the other by a map, covers it.

    Parameters
    ----------
    laid, below
        [H, W] of any real dtype.
    transform
        float64 [2, 3], from pixels of ``laid`` to pixels of ``below``.
    inside
        bool [H, W]: the pixels of ``below`` that count; None for all.

    Returns
    -------
    correlation
        -1 to 1; 0 where either is flat or nothing overlaps.
    share
        Of the pixels that count, those that are covered, 0 to 1.
    """
    size = below.shape[::-1]
    whole = np.full(laid.shape, 255, np.uint8)
    both = cv2.warpAffine(whole, transform, size, flags=cv2.INTER_NEAREST) > 0
    counted = below.size if inside is None else inside.sum()
    if inside is not None:
        both &= inside
    if not both.any():
        return 0.0, 0.0
    pair = np.stack([cv2.warpAffine(laid, transform, size)[both], below[both]]).astype(np.float32)
    pair -= pair.mean(axis=1, keepdims=True)
    strength = np.linalg.norm(pair, axis=1).prod()
    correlation = float(pair[0] @ pair[1] / strength) if strength > 0 else 0.0
    return correlation, float(both.sum() / counted)
