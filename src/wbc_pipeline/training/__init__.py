"""From arrays to a trained network."""
