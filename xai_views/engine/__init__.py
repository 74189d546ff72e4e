"""What methods share: computation on tensors that knows no method."""
