import torch

from wbc_pipeline.models.nearest_neighbours import NearestNeighbours


def head_of(features, labels, **options):
    head = NearestNeighbours(features.shape[1], classes=3, **options)
    head.remember(features, torch.tensor(labels))
    return head


def test_remembered_image_is_its_own_neighbour():
    features = torch.eye(4)
    head = head_of(features, [0, 1, 2, 1], neighbours=1)
    assert head(features).softmax(1).argmax(1).tolist() == [0, 1, 2, 1]


def test_length_of_features_does_not_count():
    features = torch.randn(9, 5)
    head = head_of(features, [0, 1, 2] * 3, neighbours=4)
    asked = torch.randn(6, 5)
    assert torch.allclose(head(asked), head(7 * asked), atol=1e-4)


def test_nearest_alone_vote_and_the_nearer_weighs_more():
    features = torch.tensor([[1.0, 0.0], [0.9, 0.5], [-1.0, 0.0]])
    head = head_of(features, [0, 1, 2], neighbours=2)
    first, second, far = head(torch.tensor([[1.0, 0.05]])).softmax(1)[0]
    assert first > second > far
    assert far < 1e-5


def test_votes_are_the_softmax_of_the_output():
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    head = head_of(features, [0, 0, 1, 2], neighbours=3)
    votes = head(torch.tensor([[1.0, 0.0]])).softmax(1)[0]
    assert torch.allclose(votes, torch.tensor([2 / 3, 1 / 3, 0]), atol=1e-5)


def test_fewer_images_than_neighbours_all_vote():
    head = head_of(torch.eye(2), [0, 2], neighbours=20)
    assert head(torch.eye(2)).argmax(1).tolist() == [0, 2]
