"""Parameters of a variant."""

from pydantic import Field, field_validator

from wbc_pipeline.models import NETWORKS
from wbc_pipeline.options import Options


class VariantOptions(Options):
    """A network by its name in ``wbc_pipeline.models``, with its arguments."""

    network: str
    arguments: dict = Field(default_factory=dict)

    @field_validator("network")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in NETWORKS:
            raise ValueError(f"no network is called {name!r}; known are {', '.join(NETWORKS)}")
        return name
