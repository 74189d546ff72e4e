"""Interfaces between the parts of the library: samples, models, methods and explanations. Imports neither torch nor panel."""
