"""SIC: evidence of support samples."""
