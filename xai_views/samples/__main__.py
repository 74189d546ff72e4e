"""``python -m xai_views.samples``."""

from .build import main

raise SystemExit(main())
