"""How far to trust an explanation: ground truth and faithfulness."""
