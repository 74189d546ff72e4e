"""Use one thread, as in the tests of models; fixtures shared by the tests of superpixels and of scores."""

import pytest
import torch
from superpixel_cases import dtype, own_regions, shipped

__all__ = ["dtype", "own_regions", "shipped"]


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
