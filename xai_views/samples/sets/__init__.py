"""Sample sets that are drawn or shipped, most of them with ground truth."""
