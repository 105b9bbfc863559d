"""Image functions on one core, against those of scikit-image that do the same work.

Time is that of the process, which other processes on the machine disturb little. scikit-image
computes in float32 where it can, which is its fastest, and its masks stay boolean.
"""

import time
from functools import partial

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage import color, exposure, feature, filters, measure, restoration
from skimage.segmentation import watershed
from skimage.util import img_as_float32, img_as_ubyte
from threadpoolctl import threadpool_limits

from wbc_pipeline.imaging import (
    deconvolve,
    denoise,
    edges,
    enhance,
    roi,
    segment,
    stain,
    stained_cell,
)
from wbc_pipeline.imaging.arrays import one_opencv_thread
from wbc_pipeline.sources import blood_cells

IMAGES = 64
FEWEST, SECONDS = 5, 2.0  # slow functions see at least so many of them, for about so long
NOISE = 0.9  # least ratio of two measurements of the same work

REFERENCE = np.random.default_rng(0).integers(50, 200, (64, 64, 3), np.uint8)
SPREAD = deconvolve.point_spread()
RGB = {"channel_axis": 2}  # not -1, which unsharp_mask of scikit-image 0.26 takes for rows


def in_floats(function, *arguments, **options):
    def filtered(image):
        result = function(img_as_float32(image), *arguments, **options)
        return img_as_ubyte(result.clip(0, 1))

    return filtered


def by_channel(function, *arguments):
    def filtered(image):
        return np.dstack([function(channel, *arguments) for channel in np.moveaxis(image, 2, 0)])

    return in_floats(filtered)


def on_lightness(function, **options):
    def filtered(image):
        lab = color.rgb2lab(image)
        lab[..., 0] = 100 * function(lab[..., 0] / 100, **options)
        return color.lab2rgb(lab)

    return in_floats(filtered)


def hsv(image):
    return color.rgb2hsv(img_as_float32(image))


def within(values, lower, upper):
    return ((values >= lower) & (values <= upper)).all(axis=-1)


def violet(image, lower=(115, 80, 0), upper=(165, 255, 255)):
    return within(hsv(image), *np.divide([lower, upper], (180, 255, 255)).astype(np.float32))


def violet_rgb(image):
    return within(image, np.uint8([0, 0, 110]), np.uint8([165, 130, 255]))


def otsu(grey):
    return grey > filters.threshold_otsu(grey)


def stain_grey(image):
    return np.clip(image @ np.float32(edges.CHANNELS["stain"]), 0, 255) / 255


def parted(image):
    objects = ndimage.binary_opening(otsu(1 - stain_grey(image)))
    depth = ndimage.distance_transform_edt(objects)
    cores = measure.label(depth > 0.6 * depth.max())
    # Without lines: those of `watershed_line=True` take forever on some images.
    return watershed(-depth, cores, connectivity=2, mask=objects)


def largest(mask):
    labels = measure.label(mask.astype(bool), connectivity=2)
    return labels == 1 + np.bincount(labels.ravel(), minlength=2)[1:].argmax()


def violet_box(image):
    blurred = filters.gaussian(img_as_float32(image), 0.8, truncate=1, **RGB)  # 3 x 3 pixels
    nucleus = largest(violet(blurred, *roi.NUCLEUS))
    return [region.bbox for region in measure.regionprops(np.uint8(nucleus))]


lightness_equalised = on_lightness(exposure.equalize_adapthist, clip_limit=2 / 256)

#: Function -> ours, and scikit-image's where it has one that does the same.
FILTERS = {
    "clahe": (enhance.clahe, lightness_equalised),
    "equalise_histogram": (enhance.equalise_histogram, on_lightness(exposure.equalize_hist)),
    "gamma": (enhance.gamma, partial(exposure.adjust_gamma, gamma=0.8)),
    "unsharp_mask": (enhance.unsharp_mask, in_floats(filters.unsharp_mask, 1.5, 1.0, **RGB)),
    "median_filter": (
        denoise.median_filter,
        partial(filters.median, footprint=np.ones((3, 3, 1)), mode="nearest"),
    ),
    "bilateral_filter": (
        denoise.bilateral_filter,
        in_floats(restoration.denoise_bilateral, 7, 40 / 255, 2, mode="symmetric", **RGB),
    ),
    "gaussian_filter": (
        denoise.gaussian_filter,
        in_floats(filters.gaussian, 1, mode="reflect", truncate=3, **RGB),
    ),
    "non_local_means": (
        denoise.non_local_means,
        in_floats(restoration.denoise_nl_means, 5, 7, 10 / 255, **RGB),
    ),
    "total_variation": (
        denoise.total_variation,
        in_floats(restoration.denoise_tv_chambolle, 0.1, **RGB),
    ),
    "wavelet": (
        denoise.wavelet,
        in_floats(restoration.denoise_wavelet, wavelet="db2", convert2ycbcr=True, **RGB),
    ),
    # Those of scikit-image do not mirror borders, which would take them four times as long.
    "wiener": (deconvolve.wiener, by_channel(restoration.wiener, SPREAD, 0.01)),
    "richardson_lucy": (
        deconvolve.richardson_lucy,
        by_channel(restoration.richardson_lucy, SPREAD, 10),
    ),
    "unsupervised_wiener": (
        deconvolve.unsupervised_wiener,
        by_channel(lambda channel: restoration.unsupervised_wiener(channel, SPREAD, rng=0)[0]),
    ),
    "reinhard": (stain.fit_reinhard(REFERENCE), None),
    "macenko": (stain.fit_macenko(REFERENCE), None),
    "haematoxylin_eosin": (
        stain.haematoxylin_eosin,
        lambda image: color.rgb2hed(img_as_float32(image)),
    ),
    "violet_mask_hsv": (segment.violet_mask_hsv, violet),
    "violet_mask_rgb": (segment.violet_mask_rgb, violet_rgb),
    "otsu_mask": (segment.otsu_mask, lambda image: otsu(hsv(image)[..., 1])),
    "watershed_mask": (segment.watershed_mask, parted),
    "saliency_map": (segment.saliency_map, None),
    "saliency_mask": (segment.saliency_mask, None),
    "largest_component": (segment.largest_component, largest),
    "fill_holes": (segment.fill_holes, ndimage.binary_fill_holes),
    "trace_border": (segment.trace_border, None),
    "canny_edges": (
        edges.canny_edges,
        lambda image: feature.canny(stain_grey(image), 1.5, 20 / 255, 60 / 255),
    ),
    "canny_mask": (edges.canny_mask, None),
    "stain_mask": (stained_cell.stain_mask, None),
    "stain_region": (stained_cell.stain_region, None),
    "colour_region": (roi.colour_region, None),
    "colour_region(cytoplasm=None)": (partial(roi.colour_region, cytoplasm=None), violet_box),
    "enhanced_colour_region": (
        roi.enhanced_colour_region,
        lambda image: violet_box(lightness_equalised(image)),
    ),
}
ON_MASKS = {"largest_component", "fill_holes", "trace_border"}
WRAPPED = {"total_variation", "wavelet"}  # ours is scikit-image's: as fast, but for noise


@pytest.fixture(scope="module", autouse=True)
def one_core():
    with one_opencv_thread(), threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def images(real_data):
    """Photographs of 320 x 240 pixels."""
    paths = blood_cells.list_images(real_data)["path"].sample(IMAGES, random_state=0)
    return [cv2.imread(path, cv2.IMREAD_COLOR_RGB) for path in paths]


def seconds(function, image):
    start = time.process_time()
    function(image)
    return time.process_time() - start


def written(number):
    return f"{number:,.0f}" if number >= 100 else f"{number:.2g}"


@pytest.mark.benchmark(group="filters")
@pytest.mark.parametrize("name", FILTERS)
def test_a_function_is_never_slower_than_that_of_scikit_image(benchmark, images, name):
    ours, *theirs = sides = [function for function in FILTERS[name] if function]
    if name in ON_MASKS:
        images = [segment.violet_mask_hsv(image) for image in images]
    benchmark.pedantic(ours, args=images[:1], rounds=FEWEST)
    cold, warm = (sum(seconds(side, images[0]) for side in sides) for _ in range(2))
    sample = images[: max(FEWEST, int(SECONDS / min(cold, warm)))]
    pairs = np.array([[seconds(side, image) for side in sides] for image in sample])
    ratio = float(np.median(pairs[:, -1] / pairs[:, 0]))
    rates = [written(rate) for rate in 1 / np.median(pairs, axis=0)]
    benchmark.extra_info |= {
        "filter": f"`{name}`" + ", which is scikit-image's" * (name in WRAPPED),
        "images/s": rates[0],
        "scikit-image, images/s": rates[1] if theirs else "–",
        "times as fast": written(ratio) if theirs else "–",
    }
    assert ratio >= (NOISE if name in WRAPPED else 1)
