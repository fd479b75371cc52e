"""Criteria in a compiled step."""

import subprocess
import sys

COMPILED = """
import torch

from nslab.objectives import OBJECTIVES
from nslab.objectives.weighted import PlainLoss

z, y, soft = torch.randn(6, 5), torch.arange(6) % 5, torch.randn(6, 5).softmax(1)
for cls in OBJECTIVES.values():
    if not issubclass(cls, PlainLoss):
        continue
    criterion, plain = cls().criterion(ignore_index=-100), cls().criterion()
    for module, labels in ((criterion, y), (plain, soft)):
        torch._dynamo.reset()
        compiled = torch.compile(module, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(z, labels), module(z, labels))
    if "weights" in dict(plain.named_buffers()):
        other = cls().criterion()
        other.weights.mul_(0.5)
        plain.load_state_dict(other.state_dict())
        torch.testing.assert_close(compiled(z, soft), other(z, soft))
print("all")
"""


def test_compiles_whole() -> None:
    """In one graph, hard and soft labels, and with weights that were loaded later. Without the
    checks of shapes, which a compiler cannot look through, hence in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", COMPILED], capture_output=True, text=True, check=False
    )
    assert done.stdout == "all\n", done.stderr[-3000:]
