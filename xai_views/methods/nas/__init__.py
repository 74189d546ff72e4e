"""Method ``nas``: a saliency map read on the network's own superpixels."""
