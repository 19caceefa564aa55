"""A CapsNet for MNIST in plain PyTorch, as people write it from the paper, to compare speeds with.

`torch.nn.Conv2d` twice, votes by one broadcast matrix product, softmax over the output capsules, three iterations of
routing, margin loss, decoder and Adam. `train_step.py --backend=plain_torch` measures it.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


def squash(vectors: Tensor) -> Tensor:
    """Shrinks vectors along the last axis to lengths below 1."""
    squared = vectors.square().sum(dim=-1, keepdim=True)
    return squared / (1 + squared) * vectors / torch.sqrt(squared + 1e-8)


class PlainCapsNet(nn.Module):
    """The network of the paper for images [batch, 1, 28, 28]."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 256, 9)
        self.primary = nn.Conv2d(256, 32 * 8, 9, stride=2)
        self.weights = nn.Parameter(0.1 * torch.randn(1, 1152, 10, 16, 8))
        self.decoder = nn.Sequential(
            nn.Linear(160, 512), nn.ReLU(), nn.Linear(512, 1024), nn.ReLU(), nn.Linear(1024, 784), nn.Sigmoid()
        )

    def forward(self, images: Tensor) -> Tensor:
        """Class capsules [batch, 10, 16]."""
        features = self.primary(functional.relu(self.conv1(images)))
        capsules = features.view(-1, 32, 8, 36).transpose(2, 3).reshape(-1, 1152, 8)
        votes = (self.weights @ squash(capsules)[:, :, None, :, None]).squeeze(-1)  # [batch, 1152, 10, 16]
        logits = torch.zeros(votes.shape[:3])
        for iteration in range(3):
            coefficients = logits.softmax(dim=2)[..., None]  # [batch, 1152, 10, 1]
            outputs = squash((coefficients * votes).sum(dim=1))  # [batch, 10, 16]
            if iteration < 2:
                logits = logits + (votes * outputs[:, None]).sum(dim=-1)
        return outputs

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Margin loss and reconstruction loss of a batch."""
        capsules = self(images)
        targets, lengths = functional.one_hot(labels, 10).float(), capsules.norm(dim=-1)
        present, absent = functional.relu(0.9 - lengths).square(), functional.relu(lengths - 0.1).square()
        margin = (targets * present + 0.5 * (1 - targets) * absent).sum(dim=1).mean()
        pixels = self.decoder((capsules * targets[..., None]).flatten(1))
        return margin + 0.0005 * (pixels - images.flatten(1)).square().sum(dim=1).mean()


def runs(batch: int) -> tuple[Callable, Callable]:
    """Functions that make a training step and an inference of random images."""
    torch.manual_seed(0)
    network = PlainCapsNet()
    optimizer = torch.optim.Adam(network.parameters())
    images, labels = torch.rand(batch, 1, 28, 28), torch.randint(0, 10, (batch,))

    def train() -> None:
        optimizer.zero_grad()
        network.loss(images, labels).backward()
        optimizer.step()

    return train, torch.no_grad()(lambda: network(images))
