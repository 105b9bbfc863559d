"""How well cells are found: boxes, regions, masks."""
