"""Method ``saliency``: attribution maps, and controls."""
