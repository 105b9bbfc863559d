"""What an audit asks of a data set."""
