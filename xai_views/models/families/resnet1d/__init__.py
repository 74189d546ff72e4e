"""Residual networks of signals."""
