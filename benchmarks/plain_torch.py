"""A CapsNet for MNIST in plain PyTorch, as people write it from the paper, to compare speeds with.

    python benchmarks/plain_torch.py [--batch=128] [--steps=7]

`torch.nn.Conv2d` twice, votes by one broadcast matrix product, softmax over the output capsules, three iterations of
routing, margin loss, decoder and Adam. `train_step.py --peers=plain_torch` runs it in a process of its own. Prints one
line of JSON: seconds of training steps and of inference, and the peak memory.
"""

import argparse
import json
import resource
import sys
import time
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
        targets = functional.one_hot(labels, 10).float()
        lengths = capsules.norm(dim=-1)
        present, absent = functional.relu(0.9 - lengths).square(), functional.relu(lengths - 0.1).square()
        margin = (targets * present + 0.5 * (1 - targets) * absent).sum(dim=1).mean()
        pixels = self.decoder((capsules * targets[..., None]).flatten(1))
        return margin + 0.0005 * (pixels - images.flatten(1)).square().sum(dim=1).mean()


def main(arguments: list[str]) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=128, help="images a step")
    parser.add_argument("--steps", type=int, default=7, help="measured steps")
    flags = parser.parse_args(arguments)
    torch.manual_seed(0)
    network = PlainCapsNet()
    optimizer = torch.optim.Adam(network.parameters())
    images, labels = torch.rand(flags.batch, 1, 28, 28), torch.randint(0, 10, (flags.batch,))

    def train() -> None:
        optimizer.zero_grad()
        network.loss(images, labels).backward()
        optimizer.step()

    def infer() -> None:
        with torch.no_grad():
            network(images)

    row = {"versions": f"torch {torch.__version__}", "batch": flags.batch}
    row |= {"step": _times(train, flags.steps), "infer": _times(infer, flags.steps)}
    print(json.dumps(row | {"host_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def _times(run: Callable[[], None], count: int) -> list[float]:
    """Seconds of `count` runs after two that are not counted."""
    times = []
    for _ in range(count + 2):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times[2:]


if __name__ == "__main__":
    main(sys.argv[1:])
