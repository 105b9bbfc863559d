"""The papers: the registry, the tree of parameters and the configuration loop over this tuple."""

from wbc_pipeline.pipelines.blend import PAPER as BLEND
from wbc_pipeline.pipelines.challenge import PAPER as CHALLENGE
from wbc_pipeline.pipelines.localize import PAPER as LOCALIZE
from wbc_pipeline.pipelines.saliency import PAPER as SALIENCY
from wbc_pipeline.pipelines.separable import PAPER as SEPARABLE

PAPERS = (BLEND, SEPARABLE, LOCALIZE, SALIENCY, CHALLENGE)
