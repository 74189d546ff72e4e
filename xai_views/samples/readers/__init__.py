"""Readers of files: image folders, arrays, WFDB, DICOM, HDF5, tables, long records, uploads."""
