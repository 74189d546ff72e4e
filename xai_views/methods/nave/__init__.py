"""Method ``nave``: activation clusters (Neuro-Activated Vision Explanations)."""
