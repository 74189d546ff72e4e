"""Numerical code shared by several methods: clusters, superpixels, attribution, perturbation."""
