"""SIC: classification by evidence of support samples."""
