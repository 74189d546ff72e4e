"""Static reports: pictures with their legends, the ledger and the provenance of an explanation, in files that open offline."""
