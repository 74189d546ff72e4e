"""Asking a network about parts of its input: seeded masks, and sums over them that are never masks."""
