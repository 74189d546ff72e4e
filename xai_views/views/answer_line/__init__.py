"""The answer line: what the model predicts, beside what is known."""
