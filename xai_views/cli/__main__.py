"""Run ``xai-views`` as ``python -m xai_views.cli``."""

import sys

from xai_views.cli.main import main

sys.exit(main())
