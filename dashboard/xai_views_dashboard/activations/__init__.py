"""The activation explorer."""
