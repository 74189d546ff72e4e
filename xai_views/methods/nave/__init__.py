"""Method ``nave``: clusters of activations (Neuro-Activated Vision Explanations)."""
