"""A paper's networks, trained and tested under each protocol and seed."""
