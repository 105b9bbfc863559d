"""The whole tree of parameters, checked before any node runs."""
