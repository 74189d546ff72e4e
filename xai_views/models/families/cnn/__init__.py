"""Convolutional networks, plain and B-cos."""
