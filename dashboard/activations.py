"""What ``panel serve dashboard/activations.py`` runs for each visitor."""

from xai_views_dashboard.shell.launching import alone

alone("activations")
