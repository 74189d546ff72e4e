"""Method ``ecg_clusters``: time-localised clusters of signal networks, with statistics over many records."""
