"""RELAX: which parts of an input its representation depends on, and how surely."""
