"""Sample sets that are drawn or shipped, most with known truth."""
