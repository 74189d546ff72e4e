"""Words beside the button of running work."""

import pytest

from xai_views_dashboard.core.job import progress_words


@pytest.mark.parametrize(
    ("done", "total", "seconds", "said"),
    [
        (0, 0, 0.0, "Computing saliency maps …"),
        (0, 8, 5.0, "Computing saliency maps: 0 of 8"),
        (3, 8, 0.2, "Computing saliency maps: 3 of 8"),
        (3, 8, 12.0, "Computing saliency maps: 3 of 8, about 20 s left"),
        (1, 2, 4.2, "Computing saliency maps: 1 of 2, about 4 s left"),
        (1, 11, 30.0, "Computing saliency maps: 1 of 11, about 5 min left"),
        (8, 8, 12.0, "Computing saliency maps: 8 of 8"),
    ],
)
def test_running_work_names_count_and_time_left(done, total, seconds, said):
    assert progress_words("Computing saliency maps", done, total, seconds) == said
