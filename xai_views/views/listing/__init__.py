"""A table that is sorted and chosen from in the browser."""
