"""The SIC app."""
