"""Pure functions on images: RGB uint8 in, RGB uint8 or a mask out."""
