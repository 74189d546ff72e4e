"""Time-localised clusters of networks of signals: the method ``ecg_clusters``, and numbers over many records."""
