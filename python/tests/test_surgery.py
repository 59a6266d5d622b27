"""Graphs that are edited."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402

from onnx_prune import InputError  # noqa: E402
from onnx_prune.surgery import Graph, Pattern, Reader, TensorType, extract  # noqa: E402


@pytest.fixture()
def graph(model):
    return Graph(model)


def test_what_stands_in_a_graph(graph):
    assert graph.inputs == ["x"] and graph.outputs == ["scores"]
    assert set(graph.initializers) == {"w1", "b1", "w2", "b2", "w3"}
    first = graph.named("first")
    assert first == graph.producer("c1") and hash(first) == hash(graph.producer("c1"))
    assert graph.readers("c1") == [Reader(graph.producer("r1"), 0)]
    assert [node.op_type for _, node in graph.nodes()][:2] == ["Conv", "Relu"]
    assert graph.node(first).input == ["x", "w1", "b1"] and graph.op_type(first) == "Conv"
    assert graph.is_input("x") and graph.is_output("scores") and graph.is_constant("w1") and "c1" in graph
    assert "nothing" not in graph and graph.producer("x") is None
    assert graph.info("x") == TensorType(TensorProto.FLOAT, ["N", 3, 8, 8])
    assert graph.element_type("r2") == TensorProto.FLOAT
    assert graph.constant("w1").shape == (16, 3, 3, 3)


def test_edits_come_into_the_model_and_not_into_what_it_was_opened_from(graph, model, images):
    onnxruntime = pytest.importorskip("onnxruntime")
    before = model.SerializeToString()
    graph.add_initializer("two", np.array(2.0, np.float32))
    graph.insert_after("r1", helper.make_node("Mul", ["r1", "two"], ["doubled"], graph.fresh_name("double")))
    graph.set_constant("b2", np.zeros(16, np.float32))
    graph.rename("scores", "logits")
    graph.validate()
    assert model.SerializeToString() == before
    edited = graph.model.to_proto()
    onnx.checker.check_model(edited)
    assert edited.graph.node[3].input[0] == "doubled"
    session = onnxruntime.InferenceSession(edited.SerializeToString(), providers=["CPUExecutionProvider"])
    assert session.run(["logits"], {"x": images})[0].shape == (48, 5)


def test_nodes_are_replaced_removed_and_bypassed(graph):
    relu = graph.producer("r1")
    node = graph.node(relu)
    node.op_type = "HardSwish"
    graph.replace(relu, node)
    assert graph.op_type(relu) == "HardSwish"
    graph.bypass(relu)
    assert graph.node(relu) is None and graph.op_type(relu) is None
    assert graph.node(graph.producer("c2")).input[0] == "c1"
    alone = graph.insert(helper.make_node("Neg", ["c1"], ["n"]))
    graph.remove(alone)
    graph.insert(helper.make_node("Neg", ["c1"], ["n"]))
    assert graph.remove_unused() == 1
    before = graph.insert_before(graph.named("second"), 0, helper.make_node("Abs", ["c1"], ["a"]))
    assert graph.node(graph.named("second")).input[0] == "a" and graph.op_type(before) == "Abs"
    graph.set_input(graph.named("second"), 0, "c1")
    graph.remove(before)
    graph.add_input("y", TensorType(np.float32, ["N", None]))
    assert graph.info("y") == TensorType(TensorProto.FLOAT, ["N", None]) and graph.inputs == ["x", "y"]
    graph.remove_input("y")
    graph.set_outputs(["r2", "scores"])
    graph.set_info("r2", TensorType(TensorProto.FLOAT, ["N", 16, 8, 8]))
    assert graph.outputs == ["r2", "scores"]
    onnx.checker.check_model(graph.model.to_proto())


def test_an_edit_that_breaks_the_graph_changes_nothing(graph):
    before = graph.model.to_bytes()
    with pytest.raises(InputError) as raised:
        graph.remove(graph.named("first"))
    assert "c1" in raised.value.what and raised.value.help
    with pytest.raises(InputError):
        graph.insert(helper.make_node("Add", ["c1", "nothing"], ["sum"]))
    with pytest.raises(InputError):
        graph.constant("c1")
    with pytest.raises(InputError):
        graph.set_info("b2", TensorType(np.int64, [16]))
    with pytest.raises(TypeError):
        graph.node("first")
    assert graph.model.to_bytes() == before


def test_edits_as_one(graph):
    before = graph.model.to_bytes()
    with pytest.raises(RuntimeError), graph.atomically():
        graph.bypass(graph.producer("r1"))
        with graph.atomically():
            graph.rename("scores", "logits")
        raise RuntimeError
    assert graph.model.to_bytes() == before
    with graph.atomically():
        graph.rename("scores", "logits")
    assert graph.outputs == ["logits"]


def test_patterns(graph):
    chain = Pattern.chain("Conv", "Relu|Clip")
    found = graph.find(chain)
    assert [(own["in"], own["out"]) for own in found] == [("x", "r1"), ("r1", "r2")]
    assert [graph.op_type(id) for id in found[0].nodes] == ["Conv", "Relu"]
    named = Pattern().node("Conv", ["x", "w"], ["c"], when=lambda node: node.name == "second").constant("w")
    assert [own["w"] for own in graph.find(named)] == ["w2"]

    def gelu(own, match):
        return [own.node(match.nodes[0]), helper.make_node("Sigmoid", [own.node(match.nodes[0]).output[0]], [match["out"]])]

    assert graph.replace_all(chain, gelu) == 2
    assert [node.op_type for _, node in graph.nodes()].count("Sigmoid") == 2
    graph.validate()


def test_what_a_condition_or_a_replacement_raises_comes_through(graph):
    def fails(*_):
        raise ZeroDivisionError

    before = graph.model.to_bytes()
    with pytest.raises(ZeroDivisionError):
        graph.find(Pattern().node("Conv", when=fails))
    with pytest.raises(ZeroDivisionError):
        graph.replace_all(Pattern.chain("Relu"), fails)
    assert graph.model.to_bytes() == before


def test_a_part_is_a_model_of_its_own(model, images):
    onnxruntime = pytest.importorskip("onnxruntime")
    head = extract(model, ["r2"], ["scores"]).to_proto()
    assert [own.name for own in head.graph.initializer] == ["w3"]
    session = onnxruntime.InferenceSession(head.SerializeToString(), providers=["CPUExecutionProvider"])
    assert session.run(None, {"r2": np.ones((2, 16, 8, 8), np.float32)})[0].shape == (2, 5)
    with pytest.raises(InputError):
        extract(model, ["nothing"], ["scores"])
