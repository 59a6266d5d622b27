"""Channels, cuts, and models in memory."""

from __future__ import annotations

import numpy as np
import pytest

import onnx_prune
from onnx_prune import Channels, Cut, InputError, Model, mask, slice


def run(model, images):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(model.to_bytes(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def test_a_cut_of_ones_own_choice_computes_what_the_masked_model_computes(model, images):
    channels = Channels(model)
    assert [(group.name, group.width) for group in channels.groups] == [("first", 16), ("second", 16)]
    cut = Cut(channels, {"first": range(0, 16, 2), 1: [0, 3, 5]})
    sliced = slice(cut)
    np.testing.assert_allclose(run(sliced, images), run(mask(cut), images), atol=1e-5)
    assert cut.macs == Channels(sliced).macs < channels.macs
    weights = {own.name: list(own.dims) for own in sliced.to_proto().graph.initializer}
    assert weights["w1"] == [8, 3, 3, 3] and weights["w2"] == [3, 8, 3, 3] and weights["w3"] == [3, 5]
    onnx_prune.verify(sliced, mask(cut))


def test_what_goes_with_a_channel_is_told(model):
    channels = Channels(model)
    first = channels.groups[0]
    assert [own.tensor for own in first.producers] == ["w1"] and first.producers[0].axis == 0
    assert [own.tensor for own in first.consumers] == ["w2"] and first.consumers[0].indices[3] == [3]
    assert [own.tensor for own in first.parameters] == ["b1"]
    protected = channels.protected[0]
    assert protected.op_type == "MatMul" and "scores" in protected.reasons[0]
    assert channels.shape("c1") == [1, 16, 8, 8] and channels.shape("nothing") is None
    assert "2 groups" in repr(channels) and "'first'" not in repr(channels)


def test_blocks_can_be_left_out(small):
    channels = Channels(small)
    assert channels.blocks and all(block.macs > 0 for block in channels.blocks)
    cut = Cut(channels, blocks=[0])
    assert cut.macs == channels.macs - channels.blocks[0].macs
    shallower = slice(cut).to_proto()
    assert len(shallower.graph.node) < len(channels.model.to_proto().graph.node)
    onnx_prune.verify(slice(cut), mask(cut))


def test_channels_of_nodes_can_be_kept(model):
    assert [group.name for group in Channels(model, ignore=["fir*"]).groups] == ["second"]
    with pytest.raises(InputError, match="matches no node"):
        Channels(model, ignore=["third"])
    with pytest.raises(InputError):
        Channels(model, dim={"height": 8})


@pytest.mark.parametrize(
    ("kept", "error", "told"),
    [
        ({"first": [16]}, IndexError, "has 16 units"),
        ({"third": [0]}, KeyError, "no group is named"),
        ({2: [0]}, IndexError, "there are 2 groups"),
        ([[0]], ValueError, "1 lists of units for 2 groups"),
        ({"first": "all"}, TypeError, None),
        (3, TypeError, None),
    ],
)
def test_a_wrong_choice_is_named(model, kept, error, told):
    with pytest.raises(error, match=told):
        Cut(Channels(model), kept)


def test_a_group_cannot_be_left_empty(model):
    with pytest.raises(InputError, match="leaves nothing"):
        slice(Cut(Channels(model), {"first": []}))


def test_models_come_as_path_bytes_and_proto(model, small, tmp_path):
    import onnx

    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    data = model.SerializeToString()
    assert {Model(own).to_bytes() for own in (path, str(path), data, model, Model(data))} == {data}
    target = tmp_path / "copy.onnx"
    Model(small).save(target)
    assert target.read_bytes() == small.read_bytes()
    with pytest.raises(InputError, match="exists"):
        Model(small).save(target)
    Model(small).save(target, force=True)
    for wrong in (b"no model", tmp_path / "missing.onnx", 3):
        with pytest.raises(InputError):
            Model(wrong)


def test_a_model_in_memory_is_what_the_commands_take(model, images):
    result = onnx_prune.prune(Model(model), images, target_macs=0.7, effort="fast", no_timing=True)
    assert result.report.macs.after < result.report.macs.before
