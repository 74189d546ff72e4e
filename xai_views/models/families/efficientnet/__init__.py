"""EfficientNet-Lite0 for ImageNet."""
