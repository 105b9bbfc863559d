"""Parameters of views."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, RootModel, model_validator

from wbc_pipeline.options import Options


def _is_a_chain(steps: list[dict]) -> list[dict]:
    from wbc_pipeline.imaging.chain import build_chain

    build_chain(steps)
    return steps


# Steps that make a view of an image; see ``wbc_pipeline.imaging.chain``.
Chain = Annotated[list[dict], AfterValidator(_is_a_chain)]

# What names a folder on every system.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


class Views(RootModel[dict[Name, Chain]]):
    """Chains of steps by the name of the view that they make."""


class PreprocessingOptions(Options):
    """Where views are worked out, and those of the pipeline ``preprocessing``.

    Parameters
    ----------
    backend
        Threads of this process, or the workers of a Dask cluster.
    workers
        How many; None for one per core.
    scheduler
        Address of a Dask scheduler; None for a cluster on this machine.
    views
        Chains by name.
    """

    backend: Literal["threads", "dask"]
    workers: Annotated[int, Field(gt=0)] | None
    scheduler: str | None
    views: Views

    @model_validator(mode="after")
    def _scheduler_needs_dask(self) -> "PreprocessingOptions":
        if self.scheduler and self.backend != "dask":
            raise ValueError(f"scheduler {self.scheduler} needs backend: dask")
        return self
