"""A module cut by a plan computes what the sliced ONNX model computes."""

from __future__ import annotations

import io

import numpy as np
import pytest

import onnx_prune

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
from torch import nn  # noqa: E402


def randomised(module: nn.Module) -> nn.Module:
    """With statistics and weights of normalisation that are not those of a fresh module."""
    torch.manual_seed(0)
    for own in module.modules():
        if isinstance(own, nn.BatchNorm2d):
            own.weight.data.uniform_(0.5, 1.5)
            own.bias.data.normal_(0, 0.1)
            own.running_mean.normal_(0, 0.1)
            own.running_var.uniform_(0.5, 1.5)
    return module.eval()


def exported(module: nn.Module, x: "torch.Tensor", folded: bool) -> bytes:
    target = io.BytesIO()
    mode = torch.onnx.TrainingMode.EVAL if folded else torch.onnx.TrainingMode.PRESERVE
    torch.onnx.export(module, (x,), target, input_names=["x"], training=mode, do_constant_folding=folded, dynamo=False)
    return target.getvalue()


class Renamed(nn.Module):
    """Layers under names that say nothing, one of them grouped, one a Linear that is stored transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Conv2d(3, 16, 3, padding=1)
        self.w = nn.BatchNorm2d(16)
        self.e = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)
        self.r = nn.BatchNorm2d(16)
        self.t = nn.ModuleList([nn.Conv2d(16, 32, 1), nn.ConvTranspose2d(32, 24, 2, stride=2)])
        self.y = nn.Linear(24, 32)
        self.u = nn.Linear(32, 7)

    def forward(self, x):
        x = torch.relu(self.w(self.q(x)))
        x = torch.relu(self.r(self.e(x)))
        x = torch.relu(self.t[1](torch.relu(self.t[0](x))))
        return self.u(torch.relu(self.y(x.mean((2, 3)))))


def resnet18():
    return pytest.importorskip("torchvision").models.resnet18(weights=None)


def mobilenet_v2():
    return pytest.importorskip("torchvision").models.mobilenet_v2(weights=None)


@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize(("make", "size"), [(Renamed, 16), (resnet18, 64), (mobilenet_v2, 64)])
def test_the_module_computes_what_the_sliced_model_does(make, size, folded, tmp_path):
    module = randomised(make())
    x = torch.randn(2, 3, size, size)
    model = exported(module, x, folded)
    options = {"criterion": "l2", "target_macs": 0.6, "no_timing": True, "compensate": "none", "round_to": 1}
    result = onnx_prune.prune(model, **options)
    from onnx_prune.torch import apply

    cut = apply(result, module, model).eval()
    sliced = onnx_prune.apply(model, result.plan, tmp_path / "sliced.onnx")
    session = onnxruntime.InferenceSession(str(sliced), providers=["CPUExecutionProvider"])
    wanted = session.run(None, {"x": x.numpy()})[0]
    found = cut(x).detach().numpy()
    assert np.abs(found - wanted).max() <= 1e-5 * max(1.0, np.abs(wanted).max())
    assert sum(own.numel() for own in cut.parameters()) < 0.9 * sum(own.numel() for own in module.parameters())
    # It trains on.
    loss = cut.train()(x).square().mean()
    loss.backward()
    assert all(own.grad is not None for own in cut.parameters())


def test_a_wrong_module_is_refused_by_name():
    from onnx_prune.torch import apply

    module = randomised(Renamed())
    model = exported(module, torch.randn(2, 3, 16, 16), True)
    result = onnx_prune.prune(model, criterion="l2", target_macs=0.6, no_timing=True, compensate="none")
    other = Renamed().eval()
    other.q.load_state_dict(module.q.state_dict())
    with pytest.raises(onnx_prune.InputError, match="the layer `q` of the module is not in the model|the layer `e`"):
        apply(result, other, model)
