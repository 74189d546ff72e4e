"""Small networks whose taps are known."""

import torch
from torch import nn

from xai_views.models import passes
from xai_views.models.families.vit.network import ViT

DTYPES = [torch.float32, torch.float64]


class BasicBlock(nn.Module):
    """As in torchvision: ReLU works in place and runs twice."""

    def __init__(self, before, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = nn.Conv2d(before, width, 1, stride, bias=False)

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.downsample(x)
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, classes=5, width=4):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for i in range(1, 5):
            stage = BasicBlock(width * max(1, 2 ** (i - 2)), width * 2 ** (i - 1), 1 if i == 1 else 2)
            setattr(self, f"layer{i}", nn.Sequential(stage))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(width * 8, classes)

    def forward(self, x):
        x = self.layer2(self.layer1(self.maxpool(self.conv1(x))))
        return self.fc(self.avgpool(self.layer4(self.layer3(x))).flatten(1))


def made(build, dtype=torch.float32, seed=0):
    """A network with random weights whose batch norms have an effect."""
    torch.manual_seed(seed)
    net = build().to(dtype).eval()
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.uniform_(-0.2, 0.2)
            m.running_var.uniform_(0.5, 1)
    return net


def images(n=2, size=(32, 48), channels=3, dtype=torch.float32, seed=1):
    return torch.rand(n, channels, *size, generator=torch.Generator().manual_seed(seed)).to(dtype)


def forwards():
    return passes.snapshot()["forward_calls"]


def hooks(net):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules())


def vit(registers=2, dtype=torch.float32, stem="patch"):
    return made(lambda: ViT(3, 4, (16, 24), 8, 12, depth=4, heads=3, registers=registers, stem=stem), dtype)
