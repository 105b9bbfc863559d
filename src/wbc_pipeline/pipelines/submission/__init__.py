"""What a paper's networks answer to a challenge's test images, which come without labels."""
