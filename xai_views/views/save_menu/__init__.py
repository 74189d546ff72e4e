"""The buttons that copy a link, and save and open what a page shows."""
