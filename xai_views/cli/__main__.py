"""``python -m xai_views.cli`` is ``xai-views``."""

import sys

from xai_views.cli.main import main

sys.exit(main())
