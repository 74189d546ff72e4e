"""Whether a page of a notebook and its kernel hear each other."""
