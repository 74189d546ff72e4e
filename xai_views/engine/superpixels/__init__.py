"""Superpixels from activation clusters: regions, what a saliency map says about them, and how far that can be trusted.

After Boubekki, Fadel and Mair, Neuro-Activated Superpixels (arXiv 2406.04933); where the paper's text is silent, the
definitions are ours and say so.
"""
