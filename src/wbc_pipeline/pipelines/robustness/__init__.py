"""A paper's networks on degraded images."""
