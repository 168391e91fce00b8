"""The architectures that can be rebuilt from a file."""

from dormancy.networks.impala import ImpalaNetwork
from dormancy.networks.layers import ACTIVATIONS
from dormancy.networks.minatar import MinAtarNetwork
from dormancy.networks.mlp import MLPNetwork
from dormancy.networks.nature import NatureNetwork
from dormancy.networks.program import Program
from dormancy.networks.sac import SACNetwork
from dormancy.networks.sequential import MODULES, SequentialNetwork
from dormancy.networks.spec import ARCHITECTURES, RESIZERS, NetworkSpec, build_network, resized
from dormancy.networks.stack import StackNetwork

__all__ = [
    "ACTIVATIONS",
    "ARCHITECTURES",
    "MODULES",
    "RESIZERS",
    "ImpalaNetwork",
    "MLPNetwork",
    "MinAtarNetwork",
    "NatureNetwork",
    "NetworkSpec",
    "Program",
    "SACNetwork",
    "SequentialNetwork",
    "StackNetwork",
    "build_network",
    "resized",
]
