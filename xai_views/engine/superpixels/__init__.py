"""Superpixels from activation clusters: regions, saliency maps aggregated over them, and their quality.

After Boubekki, Fadel and Mair, Neuro-Activated Superpixels (arXiv 2406.04933); definitions that the paper leaves open are
ours and marked as such.
"""
