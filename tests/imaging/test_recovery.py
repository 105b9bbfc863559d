import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wbc_pipeline.imaging.recovery import index_originals, match_copy, recover_sources

HEIGHT, WIDTH = 240, 320


def draw_field(seed, height=2 * HEIGHT, width=2 * WIDTH):
    """A smear of round and irregular cells on a light ground, none like that of another seed."""
    random = np.random.default_rng(seed)
    field = np.full((height, width, 3), (225, 215, 220), np.uint8)
    for _ in range(60):
        centre = random.integers((0, 0), (width, height)).tolist()
        axes = random.integers(14, 40, 2).tolist()
        colour = random.integers((150, 90, 110), (220, 150, 180)).tolist()
        cv2.ellipse(field, centre, axes, random.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
        core = [axis // 2 for axis in axes]
        cv2.ellipse(field, centre, core, 0, 0, 360, (110, 60, 150), -1, cv2.LINE_AA)
    noise = random.normal(0, 3, field.shape)
    return np.clip(field + noise, 0, 255).astype(np.uint8)


def copy_of(field, *, angle=0.0, zoom=1.0, shear=0.0, shift=(0, 0), mirrored=False):
    """A copy at half size, black where nothing is; and the map from the field to it."""
    turn = np.vstack([cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), angle, zoom), [0, 0, 1]])
    skew = np.array([[1, shear, shift[0]], [0, 1, shift[1]], [0, 0, 1]])
    transform = turn @ skew @ np.diag([0.5, 0.5, 1])
    if mirrored:
        transform = transform @ np.array([[-1, 0, field.shape[1] - 1], [0, 1, 0], [0, 0, 1]])
    flags = cv2.INTER_AREA
    return cv2.warpAffine(field, transform[:2], (WIDTH, HEIGHT), flags=flags), transform[:2]


def write(folder, images):
    paths = [str(folder / f"{number}.png") for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        cv2.imwrite(path, image[..., ::-1])
    return paths


@pytest.fixture(scope="module")
def fields():
    return [draw_field(seed) for seed in range(6)]


@pytest.fixture(scope="module")
def index(fields, tmp_path_factory):
    return index_originals(write(tmp_path_factory.mktemp("originals"), fields))


augmentations = st.fixed_dictionaries(
    {
        "angle": st.floats(-180, 180),
        "zoom": st.floats(0.8, 1.25),
        "shear": st.floats(-0.2, 0.2),
        "shift": st.tuples(st.integers(-40, 40), st.integers(-30, 30)),
        "mirrored": st.booleans(),
    }
)


@settings(deadline=None, max_examples=25)
@given(original=st.integers(0, 5), how=augmentations)
def test_the_original_is_found_however_its_copy_was_made(fields, index, original, how):
    copy, transform = copy_of(fields[original], **how)
    match = match_copy(copy, index)
    assert (match.original, match.mirrored, match.certain) == (original, how["mirrored"], True)
    inner = np.array([[240, 180, 1], [400, 180, 1], [240, 300, 1], [400, 300, 1]])
    assert np.abs(inner @ (match.transform - transform).T).max() < 3  # pixels of the copy


def test_an_image_of_no_original_is_uncertain(index):
    stranger, _ = copy_of(draw_field(99))
    assert not match_copy(stranger, index).certain


@pytest.mark.parametrize("grey", [0, 128])
def test_an_image_without_features_has_no_original(index, grey):
    match = match_copy(np.full((HEIGHT, WIDTH, 3), grey, np.uint8), index)
    assert (match.original, match.score, match.certain) == (-1, 0.0, False)


def test_photographs_that_overlap_are_one_field_and_leave_no_doubt_between_them(tmp_path):
    wide = draw_field(7, height=480, width=900)
    fields = [wide[:, :640], wide[:, 200:840], draw_field(8)]
    index = index_originals(write(tmp_path, fields))
    assert index.overlaps[["first", "second"]].to_numpy().tolist() == [[0, 1]]
    assert index.overlaps["share"][0] == pytest.approx(440 / 640, abs=0.03)
    assert index.fields[0] == index.fields[1] != index.fields[2]
    match = match_copy(copy_of(fields[1], angle=10)[0], index)
    assert (match.original, match.certain) == (1, True)


def test_an_unreadable_original_is_warned_of_and_leaves_the_others(fields, tmp_path, caplog):
    paths = write(tmp_path, fields[:2])
    (tmp_path / "0.png").write_bytes(b"")
    index = index_originals(paths)
    assert f"{paths[0]}: empty file" in caplog.text
    assert match_copy(copy_of(fields[1])[0], index).certain
    assert not match_copy(copy_of(fields[0])[0], index).certain


def test_a_table_has_a_row_per_copy_in_their_order(fields, index, tmp_path):
    paths = write(tmp_path, [copy_of(fields[number])[0] for number in (3, 1, 2)])
    table = recover_sources(paths, index, progress=False)
    assert table["original"].tolist() == [3, 1, 2]
    assert table["certain"].all()
    assert (table["transform"].map(len) == 6).all()


def test_more_threads_find_the_same(fields, index, tmp_path):
    paths = write(tmp_path, [copy_of(field, angle=7)[0] for field in fields])
    one, three = (recover_sources(paths, index, workers=n, progress=False) for n in (1, 3))
    assert one.equals(three)
