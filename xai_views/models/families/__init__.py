"""Architecture families: one folder each."""
