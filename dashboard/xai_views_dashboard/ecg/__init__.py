"""The ECG explorer."""
