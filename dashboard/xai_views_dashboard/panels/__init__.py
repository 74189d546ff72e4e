"""Panels that every app may offer."""
