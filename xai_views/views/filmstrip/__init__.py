"""A population as thumbnails."""
