"""Search, filters, order and confusion matrix of a set of samples."""
