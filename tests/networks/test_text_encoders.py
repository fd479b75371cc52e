"""Networks of transformers: built, started from weights, fine-tuned; known by their content."""

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from text_models import classifier_of, save_bert, texts_of, tokenizer_of
from torch import nn

import nslab
from nslab import NS, TrainConfig
from nslab.configs import decode, encode
from nslab.configs.schedules import Polynomial
from nslab.datasets.pretrained_tokenizer import PretrainedTokenizer
from nslab.networks import build_network, check_network, takes_texts
from nslab.networks.text_encoders import TextEncoder
from nslab.system.encoder_files import resolved_encoder
from nslab.training.loop import fit
from nslab.training.starts import start_weights
from nslab.types import TokenInfo

transformers = pytest.importorskip("transformers", reason="pip install transformers")
SHAPE = (32, 15)


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """A tiny BERT with its tokenizer."""
    return save_bert(tmp_path / "bert", 32, seed=5)


@pytest.fixture
def data(tmp_path: Path) -> str:
    """A CSV of texts, the name of a data set."""
    texts, labels = texts_of(160)
    file = tmp_path / "texts.csv"
    frame = pd.DataFrame({"label": labels, "text": [text or "rain" for text in texts]})
    frame.to_csv(file, index=False)
    return f"csv:{file}"


def config_of(bert: Path, data: str, **changes: object) -> TrainConfig:
    """A short fine-tuning."""
    fields = {"epochs": 3, "batch_size": 16, "optimizer": "adamw", "lr": 0.01, "text_length": 32}
    fields |= {
        "schedule": Polynomial(1.0),
        "warmup_epochs": 0.5,
        "start": "transformers:pretrained",
    }
    return TrainConfig(data, f"transformers/{bert}", **(fields | changes))  # type: ignore[arg-type]


def tokens(n: int = 6) -> torch.Tensor:
    """Rows of ids as the tokenizer writes them."""
    rows = tokenizer_of("bert", 32)(texts_of(n)[0], padding=True)["input_ids"]
    return torch.tensor(rows)


def test_seed_and_state(bert: Path) -> None:
    """The seed alone decides on the weights; the global generator is not touched; padding and the
    rest of a batch change no text's logits."""
    name = f"transformers/{bert}"
    before = torch.get_rng_state()
    model, again, other = (build_network(name, SHAPE, 4, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert all(torch.equal(p, q) for p, q in zip(*map(parameters, (model, again)), strict=True))
    assert not torch.equal(model.net.classifier.weight, other.net.classifier.weight)
    other.load_state_dict(model.state_dict())
    x = tokens()
    with torch.no_grad():
        logits = model.eval()(x)
        assert logits.shape == (6, 4)
        assert logits.dtype == torch.float32
        torch.testing.assert_close(other.eval()(x), logits)
        torch.testing.assert_close(model(F.pad(x, (0, 9))), logits, rtol=0, atol=1e-5)
        torch.testing.assert_close(model(x[2:3]), logits[2:3], rtol=0, atol=1e-5)
        own = transformers.BertForSequenceClassification
        assert isinstance(model.net, own)
        expected = model.net(input_ids=x, attention_mask=(x != 0).long()).logits
        torch.testing.assert_close(logits, expected)
        assert model(torch.zeros(2, 3, dtype=torch.long)).isfinite().all(), "no token at all"


def parameters(model: nn.Module) -> list[nn.Parameter]:
    """All of them."""
    return list(model.parameters())


def test_training(bert: Path) -> None:
    """A gradient for every parameter but the second token type's and places behind the texts."""
    model = build_network(f"transformers/{bert}", SHAPE, 3, 0).train()
    x, y = tokens(12), torch.tensor(texts_of(12)[1])
    F.cross_entropy(model(x), y).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        assert p.grad.isfinite().all(), name
        assert p.grad.abs().max() > 0 or "key.bias" in name, name


def test_weights_beside_the_configuration(bert: Path, data: str) -> None:
    """Are those that ``from_pretrained`` finds; a head for other classes is the run's own."""
    config = config_of(bert, data)
    for classes in (3, 4):
        model = build_network(config.network, SHAPE, classes, seed=1)
        head = {k: t.clone() for k, t in model.state_dict().items() if "classifier" in k}
        before = torch.get_rng_state()
        begun = start_weights(model, config).state_dict()
        assert torch.equal(torch.get_rng_state(), before)
        given = transformers.BertForSequenceClassification.from_pretrained(bert).state_dict()
        for name, value in begun.items():
            new = classes == 4 and name in head
            assert torch.equal(value, head[name] if new else given[name.removeprefix("net.")])


@pytest.mark.parametrize("kind", ["encoder", "masked", "old names"])
def test_weights_of_the_encoder_alone(bert: Path, data: str, kind: str) -> None:
    """As pretraining leaves them, also with the names of TensorFlow that the first BERTs have."""
    config = transformers.BertConfig.from_pretrained(bert)
    cls = transformers.BertForMaskedLM if kind == "masked" else transformers.BertModel
    torch.manual_seed(3)
    made = cls(config)
    made.save_pretrained(bert)
    if kind == "old names":
        file = bert / "model.safetensors"
        old = {
            k.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            ): t + 0.5 * ("LayerNorm" in k)
            for k, t in load_file(file).items()
        }
        save_file(old, file, {"format": "pt"})
    run = config_of(bert, data)
    model = build_network(run.network, SHAPE, 3, seed=1)
    own = {k: t.clone() for k, t in model.state_dict().items()}
    begun = start_weights(model, run).state_dict()
    encoder = made.bert if kind == "masked" else made
    for name, value in encoder.state_dict().items():
        more = 0.5 * (kind == "old names" and "LayerNorm" in name)
        assert torch.equal(begun[f"net.bert.{name}"], value + more), name
    new = {"net.classifier.weight", "net.classifier.bias"}
    new |= {"net.bert.pooler.dense.weight", "net.bert.pooler.dense.bias"} - {
        f"net.bert.{name}" for name in encoder.state_dict()
    }
    assert all(torch.equal(begun[name], own[name]) for name in new)
    assert len(begun) == len(new) + len(encoder.state_dict())


def test_sharded_weights(bert: Path, data: str) -> None:
    """Large ones come in several files."""
    whole = start_weights(build_network(f"transformers/{bert}", SHAPE, 3, 1), config_of(bert, data))
    model = transformers.BertForSequenceClassification.from_pretrained(bert)
    (bert / "model.safetensors").unlink()
    model.save_pretrained(bert, max_shard_size="8KB")
    assert not (bert / "model.safetensors").exists()
    config = config_of(bert, data)
    again = start_weights(build_network(config.network, SHAPE, 3, 1), config)
    for mine, theirs in zip(*map(parameters, (whole, again)), strict=True):
        assert torch.equal(mine, theirs)
    next(bert.glob("model-*.safetensors")).unlink()
    with pytest.raises(ValueError, match=r"lacks model-.*names"):
        config_of(bert, data)


def test_content_is_the_identity(bert: Path, data: str, tmp_path: Path) -> None:
    """Moved it is the same run; other weights, another configuration or tokenizer are others, and
    a run planned before says so. Random initial weights are another run, too."""
    config = config_of(bert, data)
    assert decode(encode(config)) == config
    assert takes_texts(config.network)
    assert config.label().startswith("texts.csv #")
    assert " bert #" in config.label()
    moved = tmp_path / "elsewhere" / "bert"
    shutil.copytree(bert, moved)
    assert config_of(moved, data).id == config.id
    random = config_of(bert, data, start="")
    weights, described = bert / "model.safetensors", bert / "tokenizer_config.json"
    save_file({k: t + 1 for k, t in load_file(weights).items()}, weights, {"format": "pt"})
    assert config_of(bert, data, start="") == random
    other = config_of(bert, data)
    described.write_text(described.read_text() + " ")
    more = config_of(bert, data)
    assert len({config.id, random.id, other.id, more.id}) == 4
    with pytest.raises(ValueError, match="another configuration or tokenizer than when the run"):
        build_network(config.network, SHAPE, 3, 0)
    shutil.copytree(moved, bert, dirs_exist_ok=True)
    save_file({k: t + 1 for k, t in load_file(weights).items()}, weights, {"format": "pt"})
    with pytest.raises(ValueError, match=r"have changed since the run was planned"):
        start_weights(build_network(config.network, SHAPE, 3, 0), config)


def test_a_model_of_the_hub(
    bert: Path, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is not in the cache can be planned, and says what to fetch when it is run; once it
    is there, it is known by its content, as a folder with the same files is."""
    snapshot = tmp_path / "hub" / "models--some--bert" / "snapshots" / "1" / "config.json"
    there: list[str] = []

    class Hub:
        @staticmethod
        def try_to_load_from_cache(name: str, file: str) -> str | None:
            assert file == "config.json"
            return str(snapshot) if name in there else None

    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub)
    planned = config_of(Path("some/bert"), data)
    assert planned.network == "transformers/some/bert"
    assert planned.start == "transformers:pretrained"
    for build in (
        lambda: build_network(planned.network, SHAPE, 3, 0),
        lambda: fit(planned, show=False),
    ):
        with pytest.raises(FileNotFoundError, match=r"nothing is downloaded .*`hf download some"):
            build()
    shutil.copytree(bert, snapshot.parent)
    there.append("some/bert")
    found = config_of(Path("some/bert"), data)
    assert found.id == config_of(bert, data).id
    assert found.network.startswith("transformers:some/bert#")
    assert found.columns()["network"] == config_of(bert, data).columns()["network"]
    start_weights(build_network(found.network, SHAPE, 3, 0), found)
    with pytest.raises(ValueError, match="came after the run was planned"):
        PretrainedTokenizer(planned.network, 32)


@pytest.mark.usefixtures("as_users_call")
def test_what_is_no_network_is_told(bert: Path, data: str, tmp_path: Path) -> None:
    """Each with what to do."""
    empty = tmp_path / "empty"
    empty.mkdir()
    for where, message in (
        (tmp_path / "none", "the folder .* does not exist"),
        (empty, r"has no config\.json"),
    ):
        with pytest.raises(ValueError, match=message):
            resolved_encoder(f"transformers/{where}")
    check_network(f"transformers/{bert}")
    with pytest.raises(ValueError, match="a bottleneck is for networks of images"):
        check_network(f"bottleneck/transformers/{bert}")
    name = f"transformers/{bert}"
    for shape, message in (
        ((3, 32, 32), "reads texts, and the data are images"),
        ((32, 17), "knows 16 tokens, and its tokenizer has 17"),
        ((35, 15), "reads 34 tokens at most: text_length is 35"),
    ):
        with pytest.raises(ValueError, match=message):
            build_network(name, shape, 3, 0)
    for start, network, message in (
        ("transformers:main", name, "weights of transformers are transformers:pretrained"),
        ("transformers:pretrained", "textcnn_64", "no weights for textcnn_64: take a network"),
    ):
        with pytest.raises(ValueError, match=message):
            TrainConfig(data, network, start=start)
    with pytest.raises(ValueError, match="digits has images, the network bert #"):
        TrainConfig("digits", name)
    with pytest.raises(ValueError, match="it has a tokenizer"):
        config_of(bert, data, vocabulary=100)
    (bert / "model.safetensors").rename(bert / "pytorch_model.bin")
    with pytest.raises(ValueError, match="files that need unpickling are not read"):
        config_of(bert, data)
    assert config_of(bert, data, start="").start == ""


def test_strange_models_are_told(bert: Path, data: str) -> None:
    """Without padding, of an unknown kind, with code of their own, with layers missing."""
    config = json.loads((bert / "config.json").read_text())
    weights = load_file(bert / "model.safetensors")

    def saved(**changes: object) -> str:
        whole = {k: v for k, v in (config | changes).items() if v != "gone"}
        (bert / "config.json").write_text(json.dumps(whole))
        return f"transformers/{bert}"

    with pytest.raises(ValueError, match="names no padding"):
        build_network(saved(pad_token_id=None), SHAPE, 3, 0)
    with pytest.raises(ValueError, match="not a model that transformers knows"):
        build_network(saved(model_type="telegraph"), SHAPE, 3, 0)
    code = {"AutoConfig": "evil.Evil", "AutoModelForSequenceClassification": "evil.Evil"}
    (bert / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(ValueError, match="not a model that transformers knows"):
        build_network(saved(model_type="gone", auto_map=code), SHAPE, 3, 0)
    build_network(saved(auto_map=code), SHAPE, 3, 0)  # transformers' own BERT
    kept = {k: t for k, t in weights.items() if "layer.0.output.dense.weight" not in k}
    save_file(kept, bert / "model.safetensors", {"format": "pt"})
    saved()
    run = config_of(bert, data)
    with pytest.raises(ValueError, match=r"lack bert\.encoder\.layer\.0\.output\.dense\.weight"):
        start_weights(build_network(run.network, SHAPE, 3, 0), run)
    saved(pad_token_id=5)
    with pytest.raises(ValueError, match="pads with id 0, the network with 5"):
        PretrainedTokenizer(resolved_encoder(f"transformers/{bert}"), 32)


def test_its_tokenizer(bert: Path) -> None:
    """Special tokens around, cut at the length with the last one kept; no text, no rows."""
    tokenizer = PretrainedTokenizer(resolved_encoder(f"transformers/{bert}"), 6)
    assert tokenizer.info == TokenInfo(6, 15, 0, 1, 2)
    rows = tokenizer.encode(["cold rain", "", "goal " * 9, "unheard of"])
    assert [row.tolist() for row in rows] == [
        [1, 4, 5, 2],
        [1, 2],
        [1, 9, 9, 9, 9, 2],
        [1, 3, 3, 2],
    ]
    assert tokenizer.encode([]) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["roberta", "distilbert"])
def test_other_architectures(kind: str, tmp_path: Path, data: str) -> None:
    """RoBERTa counts places from behind its padding, DistilBERT has no token types."""
    folder = tmp_path / kind
    if kind == "roberta":
        classifier_of("roberta", 32).save_pretrained(folder)
        tokenizer_of("roberta", 32).save_pretrained(folder)
    else:
        small = {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16, "vocab_size": 16}
        config = transformers.DistilBertConfig(max_position_embeddings=32, **small)
        transformers.DistilBertForSequenceClassification(config).save_pretrained(folder)
        tokenizer_of("bert", 32).save_pretrained(folder)
    trained = fit(config_of(folder, data, epochs=2, objective=NS(compose="tiled")), show=False)
    assert isinstance(trained.model, TextEncoder)
    assert trained.history[-1]["weight_mean"] == pytest.approx(1.7, rel=1e-3)
    name = f"transformers/{folder}"
    build_network(name, (32, 15), 3, 0)
    if kind == "roberta":
        with pytest.raises(ValueError, match="reads 32 tokens at most"):
            build_network(name, (33, 15), 3, 0)


@pytest.mark.parametrize("how", ["tiled", "literal"])
def test_fine_tuning_under_ns(bert: Path, data: str, how: str) -> None:
    """A run like any other: it learns, is found again, and says how many texts were lost."""
    ns = NS(grid=(2, 2), sigma=2.5, rho=-1, compose=how)  # type: ignore[arg-type]
    config = config_of(bert, data, objective=ns, epochs=6)
    result = nslab.run(config)
    assert result.metrics["test_accuracy"] > 55
    assert result.metrics["weight_mean"] == pytest.approx(1.5, rel=1e-3)
    assert ("texts_lost" in result.metrics) == (how == "literal")
    if how == "literal":
        assert 0 < result.metrics["texts_lost"] < 0.5
        assert all(row["texts_lost"] > 0 for row in result.history)
    assert nslab.run(config).origin == "stored"
    assert result.env["versions"]["transformers"] == transformers.__version__
    folder = bert.parent / "frozen"
    nslab.freeze("texts", [result], folder)
    assert str(bert.parent) not in (folder / "texts.csv").read_text()
    lrs = [config.lr_at(step, 8) for step in range(48)]
    assert lrs[:4] == pytest.approx([0.0025, 0.005, 0.0075, 0.01])
    assert lrs[4:] == pytest.approx([0.01 * (48 - step) / 44 for step in range(4, 48)])
    frozen = dataclasses.replace(config, frozen=("backbone",), epochs=1, start="", warmup_epochs=0)
    model = fit(frozen, show=False).model
    fresh = build_network(config.network, SHAPE, 3, config.seed)
    moved = [
        name
        for (name, p), q in zip(model.named_parameters(), fresh.parameters(), strict=True)
        if not torch.equal(p, q)
    ]
    assert moved == ["net.classifier.weight", "net.classifier.bias"]
