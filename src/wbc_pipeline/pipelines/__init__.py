"""The pipelines: nodes, and how they are wired."""
