"""The Activations app."""
