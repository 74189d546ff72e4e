"""What ``panel serve dashboard/sic.py`` runs for each visitor."""

from xai_views_dashboard.shell.launching import alone

alone("sic")
