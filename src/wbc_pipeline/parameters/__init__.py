"""The whole tree of parameters, checked before any node runs."""

from wbc_pipeline.parameters.schema import ParameterError, check_parameters

__all__ = ["ParameterError", "check_parameters"]
