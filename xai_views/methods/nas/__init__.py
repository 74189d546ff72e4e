"""Method ``nas``: a saliency map averaged over the network's own superpixels."""
