import pandas as pd
import pytest

from wbc_pipeline.evaluation.localization.tuning import (
    UNTUNED,
    deal_halves,
    list_candidates,
    own_parameters,
    tune_and_test,
)

STEPS = [{"gaussian_filter": {"sigma": 1}}, {"otsu_mask": {}}]


def make_images(groups=20, domains=("a", "b")):
    """Two images of each source group, mixed up."""
    rows = [(domain, f"{domain}{group}") for domain in domains for group in range(groups)] * 2
    images = pd.DataFrame(rows, columns=["domain", "source_group"])
    images = images.sample(frac=1, random_state=0, ignore_index=True)
    return images.assign(image_id=[f"image_{row}" for row in images.index])


def make_scores(images, best):
    """Three candidates, of which one is best in each domain."""
    tables = [
        images[["image_id"]].assign(candidate=candidate, dice=0.5 + 0.4 * (best == candidate))
        for candidate in range(3)
    ]
    return pd.concat(tables, ignore_index=True).assign(method="planted")


def test_halves_never_share_a_source_group():
    images = make_images()
    halves = deal_halves(images)
    assert halves.groupby(images["source_group"]).nunique().max() == 1
    assert set(halves.groupby(images["domain"]).nunique()) == {2}


def test_a_group_of_two_domains_is_on_one_side():
    images = make_images()
    images.loc[images["source_group"] == "b3", "source_group"] = "a3"
    assert deal_halves(images).groupby(images["source_group"]).nunique().max() == 1


def test_images_of_unknown_source_are_sources_of_their_own():
    images = make_images().assign(source_group=None)
    assert (deal_halves(images) == "test").sum() == len(images) / 2


def test_candidates_are_the_steps_as_written_and_every_combination():
    grid = {"gaussian_filter.sigma": [1, 2, 3], "otsu_mask.channel": ["green", "stain"]}
    candidates = list_candidates(STEPS, grid)
    assert len(candidates) == 1 + 6
    assert candidates[0].steps == STEPS
    assert len({str(candidate) for candidate in candidates}) == 7


@pytest.mark.parametrize("name", ["sigma", "median_filter.size", "gaussian_filter"])
def test_a_name_of_the_grid_that_fits_no_step_is_refused(name):
    with pytest.raises(ValueError, match="is not step"):
        list_candidates(STEPS, {name: [1]})


def test_tuning_picks_the_planted_best_of_each_domain():
    images = make_images()
    scores = make_scores(images, best=images["domain"].map({"a": 1, "b": 2}))
    tests = tune_and_test(scores, images, by=["method"], score="dice")
    means = tests.groupby(["tuned_on", "tested_on"])["dice"].mean()
    assert means["a", "a"] == means["b", "b"] == pytest.approx(0.9)
    assert means["a", "b"] == means["b", "a"] == means[UNTUNED, "a"] == pytest.approx(0.5)


def test_images_that_were_tuned_on_are_not_tested_on():
    images = make_images()
    tests = tune_and_test(make_scores(images, best=1), images, by=["method"], score="dice")
    halves = deal_halves(images).set_axis(images["image_id"])
    assert set(halves[tests["image_id"]]) == {"test"}


def test_what_has_one_candidate_is_tested_but_not_tuned():
    images = make_images()
    scores = make_scores(images, best=0)
    tests = tune_and_test(scores[scores["candidate"] == 0], images, by=["method"], score="dice")
    assert set(tests["tuned_on"]) == {UNTUNED}
    assert len(own_parameters(tests)) == len(tests)


def test_no_scores_give_no_tests():
    scores = make_scores(make_images(), best=0).head(0)
    assert tune_and_test(scores, make_images(), by=["method"], score="dice").empty
