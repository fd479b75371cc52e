"""VMamba (Liu et al. 2024): a hierarchy of blocks that scan the image in four directions."""

import itertools
import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from nslab.networks.selective_scan import selective_scan
from nslab.types import Images, ImageShape, Logits

Pixels = Float[Tensor, "b h w d"]
Directions = Float[Tensor, "b l 4 d"]

torch.fx.wrap("selective_scan")  # a traced copy calls it as a whole


def cross_scan(x: Pixels) -> Directions:
    """The pixels row by row, column by column, and both in reverse order."""
    two = torch.stack((x.flatten(1, 2), x.transpose(1, 2).flatten(1, 2)), 2)
    return torch.cat((two, two.flip(1)), 2)


def cross_merge(y: Directions, height: int, width: int) -> Pixels:
    """The sum over the directions, back in the image's order."""
    rows, columns = (y[:, :, :2] + y[:, :, 2:].flip(1)).unbind(2)
    upright = columns.unflatten(1, (width, height)).transpose(1, 2)
    return rows.unflatten(1, (height, width)) + upright


class SS2D(nn.Module):
    """Selective scan in four directions, each with its own dt, A, B, C, D; no gate.

    Initially A is -1, -2, ... over the states, D is 1, and dt apart from its input-dependent part
    is log-uniform in [0.001, 0.1], as in Mamba (Gu & Dao 2023, section 3.6).
    """

    def __init__(self, channels: int, states: int = 1) -> None:
        super().__init__()
        self.rank, self.states = math.ceil(channels / 16), states
        self.in_proj = nn.Linear(channels, channels, bias=False)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.x_proj = nn.Parameter(torch.empty(4, self.rank + 2 * states, channels))
        self.dt_proj = nn.Parameter(torch.empty(4, channels, self.rank))
        self.dt_bias = nn.Parameter(torch.empty(4, channels))
        self.A_log = nn.Parameter(torch.empty(4, channels, states))
        self.D = nn.Parameter(torch.ones(4, channels))
        self.norm = nn.LayerNorm(channels)
        self.out_proj = nn.Linear(channels, channels, bias=False)
        nn.init.uniform_(self.x_proj, -(channels**-0.5), channels**-0.5)
        nn.init.uniform_(self.dt_proj, -(self.rank**-0.5), self.rank**-0.5)
        with torch.no_grad():
            self.dt_bias.uniform_(math.log(0.001), math.log(0.1)).exp_().clamp_(min=1e-4)
            self.dt_bias.expm1_().log_()  # softplus is log(1 + exp)
            self.A_log.copy_(torch.arange(1, states + 1).log().expand_as(self.A_log))

    def forward(self, x: Pixels) -> Pixels:
        x = self.in_proj(x).permute(0, 3, 1, 2)
        x = F.silu(self.conv(x)).permute(0, 2, 3, 1)
        xs = cross_scan(x)
        projected = torch.einsum("blkd,kcd->blkc", xs, self.x_proj)
        low, B, C = projected.split((self.rank, self.states, self.states), -1)
        dt = F.softplus(torch.einsum("blkr,kdr->blkd", low, self.dt_proj) + self.dt_bias)
        y = selective_scan(xs, dt, -torch.exp(self.A_log), B, C, self.D)
        return self.out_proj(self.norm(cross_merge(y, x.size(1), x.size(2))))


class VSSBlock(nn.Module):
    """Scan, then MLP, each after LayerNorm and on a residual branch that training may drop."""

    def __init__(self, channels: int, drop: float) -> None:
        super().__init__()
        from torchvision.ops import StochasticDepth  # slow to import

        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.scan = SS2D(channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels)
        )
        self.drop = StochasticDepth(drop, "row")

    def forward(self, x: Pixels) -> Pixels:
        x = x + self.drop(self.scan(self.norm1(x)))
        return x + self.drop(self.mlp(self.norm2(x)))


class Halve(nn.Module):
    """3x3 convolution with stride 2, LayerNorm; odd sides are rounded up."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, 2, padding=1)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: Pixels) -> Pixels:
        return self.norm(self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class VMamba(nn.Module):
    """Patches of 4 x 4 pixels, stages of blocks with half the sides and twice the channels each,
    LayerNorm, average pool, linear.

    The defaults are VMamba-T, version s1l8: 30,249,064 parameters with 1000 classes. Images may
    have any size, but below 33 pixels the last stage has a single pixel and nothing to scan.
    Linear layers start from N(0, 0.02^2) truncated at +-2; the probability that training drops a
    branch grows linearly from 0 to ``drop`` over the blocks.
    """

    def __init__(
        self,
        shape: ImageShape,
        num_classes: int,
        *,
        depths: tuple[int, ...] = (2, 2, 8, 2),
        channels: int = 96,
        drop: float = 0.2,
    ) -> None:
        super().__init__()
        last = max(1, sum(depths) - 1)
        shares = iter(drop * i / last for i in range(sum(depths)))
        half = channels // 2
        layers: list[nn.Module] = [Halve(shape[0], half), nn.GELU(), Halve(half, channels)]
        for stage, depth in enumerate(depths):
            if stage:
                layers.append(Halve(channels, 2 * channels))
                channels *= 2
            layers += [VSSBlock(channels, share) for share in itertools.islice(shares, depth)]
        self.features = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Images) -> Logits:
        y = self.features(x.permute(0, 2, 3, 1))
        return self.head(self.norm(y).mean((1, 2)))
