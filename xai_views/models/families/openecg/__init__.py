"""The trained network of the package openecg."""
