"""The overview of a long record."""
