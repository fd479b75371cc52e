"""Networks as vectors: every gene once, views without copies, extras that follow their rows."""

import io

import pytest
import torch
from network_helpers import equal, images, size, state
from torch import Tensor, nn

from nslab.networks import build_network
from nslab.networks.heads import last_linear
from nslab.neuroevolution.parameter_vector import Extras, ParameterLayout, batchnorms, evaluating


class Attention(nn.Module):
    """A small transformer with learned positions, a scalar parameter and a volatile buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(5, 8)
        self.place = nn.Parameter(torch.randn(1, 4, 8))
        self.scale = nn.Parameter(torch.tensor(0.7))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)
        self.register_buffer("index", torch.arange(4), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        h = (self.embed(x) + self.place[:, self.index]) * self.scale
        return self.head(self.norm(self.block(h)).mean(1))


class Tied(nn.Module):
    """Two layers with one weight, and a shared layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.second.weight = self.first.weight
        self.again = self.first
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.again(self.second(self.first(x).relu()).relu()))


def own(module: nn.Module) -> list[Tensor]:
    """A module's own parameters, without those of its parts."""
    return [p for p in module._parameters.values() if p is not None]


def made(kind: str) -> tuple[nn.Module, Tensor, int]:
    """A network, an input, and how many parameters evolve."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind == "resnet20":
            return build_network("resnet20", (3, 32, 32), 10, 0), images(2), 269_722 - 650
        if kind == "resnet18":
            model = build_network("resnet18", (3, 32, 32), 1000, 0)
            return model, images(2), 11_689_512 - 513_000
        if kind == "attention":
            model = Attention()
            return model, torch.randn(2, 4, 5), size(model) - 27
        return Tied(), torch.randn(2, 6), 36 + 6 + 6


@pytest.mark.parametrize("kind", ["resnet20", "resnet18", "attention", "tied"])
def test_vector_and_views(kind: str) -> None:
    """Views lie in the row, cover it exactly, and compute what the network computes; the vector
    written into another network makes it the same."""
    model, x, genes = made(kind)
    layout = ParameterLayout.of(model)
    assert hash(layout) == hash(ParameterLayout.of(model))
    assert layout.size == genes == len(layout.vector(model))
    rows = torch.full((3, genes), torch.nan)
    row = layout.vector(model, out=rows[1])
    assert row.data_ptr() == rows[1].data_ptr()
    assert rows[0].isnan().all()
    assert rows[2].isnan().all()
    views = layout.views(row)
    begin, covered = row.data_ptr(), 0
    for view in views.values():
        assert view.data_ptr() == begin + 4 * covered
        covered += view.numel()
    assert covered == genes
    assert torch.equal(layout.vector(model.state_dict()), row)
    twin = type(model)() if kind in ("attention", "tied") else made(kind)[0]
    twin.load_state_dict(model.state_dict())
    layout.write(torch.zeros(genes), twin)
    with evaluating(model), evaluating(twin), torch.no_grad():
        expected = model(x)
        assert not torch.equal(twin(x), expected)
        zero = state(twin)
        torch.testing.assert_close(layout.call(twin, views, x), expected)
        assert equal(state(twin), zero)
        assert all(isinstance(p, nn.Parameter) for m in twin.modules() for p in own(m))
        layout.write(row, twin)
        assert torch.equal(twin(x), expected)
    assert equal(state(twin), state(model))


def test_which_layer_is_exempt() -> None:
    """The last linear layer, a named one, or none; a shared weight stays still everywhere."""
    assert last_linear(Attention()) == "head"
    model = build_network("lenet5", (3, 32, 32), 10, 0)
    assert ParameterLayout.of(model, exempt_head=False).size == 62_006
    assert ParameterLayout.of(model).size == 62_006 - 850
    convolutional = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1))
    with pytest.raises(ValueError, match="no linear layer to exempt: name"):
        ParameterLayout.of(convolutional)
    assert ParameterLayout.of(convolutional, head="1").exempt == ("1.weight", "1.bias")
    assert ParameterLayout.of(convolutional, exempt_head=False).exempt == ()
    with pytest.raises(ValueError, match="no layer 'fc'"):
        ParameterLayout.of(convolutional, head="fc")
    with pytest.raises(ValueError, match="nothing of Linear"):
        ParameterLayout.of(nn.Linear(2, 2))
    tied = Tied()
    assert ParameterLayout.of(tied, head="second").names == (
        "first.bias",
        "head.weight",
        "head.bias",
    )
    model.requires_grad_(False)
    assert ParameterLayout.of(model).size == 62_006 - 850


def test_bfloat16_and_wrong_vectors() -> None:
    """Views have the vector's type; several vectors at once; what does not fit is refused."""
    model, _, genes = made("tied")
    layout = ParameterLayout.of(model)
    half = layout.vector(model, out=torch.empty(genes, dtype=torch.bfloat16))
    assert all(v.dtype == torch.bfloat16 for v in layout.views(half).values())
    assert torch.equal(half, layout.vector(model).bfloat16())
    assert layout.vector(model.double()).dtype == torch.float64
    both = layout.views(torch.stack([half, 2 * half]))
    assert torch.equal(both["first.weight"][1], 2 * layout.views(half)["first.weight"])
    for wrong in (torch.zeros(genes + 1), torch.zeros(2 * genes)[::2]):
        with pytest.raises(ValueError, match="48 genes side by side"):
            layout.views(wrong)
    other = model.state_dict() | {"second.bias": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"second\.bias has shape"):
        layout.vector(other)
    del other["second.bias"]
    with pytest.raises(ValueError, match=r"second\.bias is missing"):
        layout.vector(other)
    with pytest.raises(ValueError, match=r"model\.module"):
        ParameterLayout.of(object.__new__(nn.parallel.DistributedDataParallel))


def test_extras_belong_to_members_and_rows() -> None:
    """Heads by member, buffers by row; inherited, saved and read, written into a network."""
    models = [build_network("resnet8", (3, 32, 32), 10, seed) for seed in range(3)]
    for i, model in enumerate(models):
        for norm in batchnorms(model).values():
            norm.running_mean.fill_(i)
            norm.num_batches_tracked.fill_(10 + i)
    layout = ParameterLayout.of(models[0])
    extras = Extras.of(models[0], layout, [models[0].state_dict(), *models[1:]])
    name = next(iter(batchnorms(models[0])))
    tracked, mean = f"{name}.num_batches_tracked", f"{name}.running_mean"
    assert extras.buffers[tracked].tolist() == [10, 11, 12, 10, 11, 12]
    for i, model in enumerate(models):
        (weight, bias) = (extras.views(i, i)[k] for k in layout.exempt)
        assert torch.equal(weight, model.get_parameter(layout.exempt[0]))
        assert torch.equal(bias, model.get_parameter(layout.exempt[1]))
    view = extras.views(2, 5)
    view[mean].fill_(9)
    view[tracked].add_(1)
    assert extras.buffers[tracked].tolist() == [10, 11, 12, 10, 11, 13]
    extras.inherit(torch.tensor([2]), torch.tensor([4]))
    assert extras.buffers[mean][:, 0].tolist() == [0, 1, 2, 0, 2, 9]
    assert extras.buffers[tracked].tolist() == [10, 11, 12, 10, 12, 13]
    file = io.BytesIO()
    torch.save(extras.state_dict(), file)
    file.seek(0)
    again = Extras.from_state(torch.load(file, weights_only=True))
    assert equal(again.buffers, extras.buffers)
    assert equal(again.heads, extras.heads)
    # member 1, whose trial's row 4 has won, as a network
    layout.write(layout.vector(models[1]), models[0])
    again.write(models[0], member=1, row=4)
    expected = state(models[1])
    assert models[0].get_buffer(mean)[0] == 2
    assert equal(
        {k: v for k, v in state(models[0]).items() if k not in layout.buffers},
        {k: v for k, v in expected.items() if k not in layout.buffers},
    )


def test_what_a_state_dict_lacks_comes_from_the_network() -> None:
    """A buffer that is not saved is the model's own."""
    model = Attention()
    layout = ParameterLayout.of(model)
    assert layout.volatile == {"index"}
    extras = Extras.of(model, layout, [model.state_dict()] * 2)
    assert extras.buffers["index"].tolist() == [[0, 1, 2, 3]] * 4
    lacking = model.state_dict()
    del lacking["head.bias"]
    with pytest.raises(ValueError, match=r"head\.bias is missing"):
        Extras.of(model, layout, [lacking])


def test_modes_come_back() -> None:
    """Only BatchNorm with statistics is in training mode; afterwards every module is as before."""
    layers = nn.BatchNorm2d(2), nn.BatchNorm2d(2, track_running_stats=False), nn.Dropout()
    model = nn.Sequential(*layers).train()
    layers[2].eval()
    assert list(batchnorms(model)) == ["0"]
    with evaluating(model, learn=True):
        assert [m.training for m in model.modules()] == [False, True, False, False]
    assert [m.training for m in model.modules()] == [True, True, True, False]
    with evaluating(model):
        assert not any(m.training for m in model.modules())
