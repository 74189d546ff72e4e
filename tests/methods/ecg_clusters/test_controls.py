"""The control: a network with random weights is another model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from xai_views import open_model
from xai_views.errors import MethodError
from xai_views.methods.ecg_clusters.controls import untrained


def test_a_network_is_drawn_anew_and_the_old_one_left_alone():
    model = open_model("ecg-resnet")
    before = {k: v.clone() for k, v in model.module.state_dict().items()}
    one, two, again = untrained(model), untrained(model, seed=1), untrained(model)
    weight = "head.weight"
    assert not torch.equal(one.module.state_dict()[weight], before[weight])
    assert not torch.equal(one.module.state_dict()[weight], two.module.state_dict()[weight])
    assert torch.equal(one.module.state_dict()[weight], again.module.state_dict()[weight])
    assert len({model.sha256, one.sha256, two.sha256}) == 3
    assert one.sha256 == again.sha256
    for key, value in model.module.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_a_network_without_weights_to_draw_is_one_sentence():
    class Fixed(nn.Module):
        def forward(self, x):
            return x.mean(2)

    with pytest.raises(MethodError, match="reset_parameters"):
        untrained(open_model(Fixed(), channels=2, size=(16,)))
