"""Run ``python -m xai_views.samples``."""

from xai_views.samples.build import main

raise SystemExit(main())
