"""The node that makes views."""

from pathlib import Path

from wbc_pipeline.datasets.images import ImageArray, image_files
from wbc_pipeline.datasets.results import Task


def make_view(images: ImageArray, steps: list[dict]) -> Task:
    """Describe a view: the packed images after a chain of steps.

    Parameters
    ----------
    images
        The packed images.
    steps
        Names of steps with their parameters, in order; see ``wbc_pipeline.imaging.chain``.

    Raises
    ------
    ValueError
        If a step or one of its parameters is unknown.
    """
    from wbc_pipeline.imaging.chain import apply_chain, build_chain, chain_digest

    chain = build_chain(steps)

    def compute(folder: Path) -> None:
        pixels, _ = image_files(folder)
        apply_chain(chain, images.pixels, pixels)

    key = {"images": images.content_digest, "steps": steps, "code": chain_digest(steps)}
    return Task(key, compute)
