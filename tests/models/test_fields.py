"""White cells of a photograph as images of their own."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from wbc_pipeline.imaging.chain import build_chain
from wbc_pipeline.imaging.roi import Region
from wbc_pipeline.imaging.stained_cells import Cell
from wbc_pipeline.models.detect import Detector
from wbc_pipeline.models.fields import cut_out, find_field, is_image_of_one


def cell(*sides):
    left, top, right, bottom = sides
    return Cell(Region(*sides), np.full((bottom - top, right - left), 255, np.uint8))


@pytest.mark.parametrize("place", [(0, 0, 30, 20), (170, 90, 200, 100), (80, 40, 110, 70)])
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_frame_holds_its_cell_and_stays_in_the_photograph(place, share):
    frame = cut_out(Region(*place), share=share, aspect=4 / 3, shape=(100, 200, 3))
    assert frame.xmin <= place[0] and frame.ymin <= place[1]
    assert frame.xmax >= place[2] and frame.ymax >= place[3]
    assert frame.xmin >= 0 and frame.xmax <= 200 and frame.ymin >= 0 and frame.ymax <= 100


def test_a_file_is_an_image_of_one_cell_if_that_is_as_large_as_in_training():
    shape = (100, 100, 3)
    assert is_image_of_one([], 0.5, shape)
    assert is_image_of_one([cell(0, 0, 30, 30)], 0.5, shape)
    assert is_image_of_one([cell(0, 0, 5, 5)], None, shape)
    assert not is_image_of_one([cell(0, 0, 20, 20)], 0.5, shape)
    assert not is_image_of_one([cell(0, 0, 30, 30), cell(50, 50, 90, 90)], 0.5, shape)


class Found(torch.nn.Module):
    """Finds three cells everywhere, the last one unsurely."""

    def forward(self, images):
        boxes = torch.tensor([[0.0, 0, 16, 16], [16, 16, 32, 32], [4, 4, 8, 8]])
        return [{"boxes": boxes, "scores": torch.tensor([0.9, 0.8, 0.2])}]


def test_a_detector_that_looks_at_the_whole_gives_all_of_its_boxes():
    steps = [{"full_resolution": {}}, {"resize": {"size": 32}}]
    network = Found()
    network.register_parameter("weight", torch.nn.Parameter(torch.zeros(1)))
    detector = Detector(network, build_chain(steps))
    found = find_field(np.full((64, 128, 3), 230, np.uint8), detector, score=0.5)
    assert [each.region[:4] for each in found] == [(0, 0, 64, 32), (64, 32, 128, 64)]
    assert not any(each.mask.any() for each in found)  # stain finds nothing there


def test_a_detector_that_looks_at_one_cell_is_not_asked():
    detector = SimpleNamespace(look=SimpleNamespace(finds=True))
    assert find_field(np.full((64, 64, 3), 230, np.uint8), detector, score=0.5) == []
