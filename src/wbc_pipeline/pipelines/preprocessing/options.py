"""Parameters of views."""

from typing import Annotated

from pydantic import AfterValidator


def _is_a_chain(steps: list[dict]) -> list[dict]:
    from wbc_pipeline.imaging.chain import build_chain

    build_chain(steps)
    return steps


# Steps that make a view from the packed images; see ``wbc_pipeline.imaging.chain``.
Chain = Annotated[list[dict], AfterValidator(_is_a_chain)]
