"""What ``panel serve dashboard/ecg.py`` runs for each visitor."""

from xai_views_dashboard.shell.launching import alone

alone("ecg")
