"""XAI Views: look into a trained PyTorch model and check what you see."""

__version__ = "0.1.0"
