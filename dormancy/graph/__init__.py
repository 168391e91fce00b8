"""Which numbers of a network belong to which neuron, found by one traced forward pass."""

from dormancy.arrays import IntArray
from dormancy.graph.assemble import trace_neurons
from dormancy.graph.isolation import undisturbed
from dormancy.graph.neurons import NeuronGraph, NeuronLayer, Producer, Reader
from dormancy.graph.trace import call_model

__all__ = [
    "IntArray",
    "NeuronGraph",
    "NeuronLayer",
    "Producer",
    "Reader",
    "call_model",
    "trace_neurons",
    "undisturbed",
]
