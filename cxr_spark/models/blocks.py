"""The blocks of a network from its input to its head, for learning rates by depth and for random weights by depth."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from cxr_spark.models.head import head_name


class Block(NamedTuple):
    """Layers of a network that stand together.

    Attributes:
        name: the dotted name of the first of them.
        parameters: the names of all their parameters.
    """

    name: str
    parameters: tuple[str, ...]


def blocks_of(module: nn.Module) -> list[Block]:
    """Returns the blocks of a network from its input to its head.

    A block is a child of the network, such as `layer3` of a ResNet. Where one child holds more than half of all layers
    with parameters, such as `features` of a DenseNet, its children are blocks instead. What has only vectors (a batch
    norm) belongs to the block before it. The last block is the head, with what stands beside it in the classifier.

    Args:
        module: a network of `cxr_spark.models.architectures.build`.
    """
    names = [name for name, _ in module.named_parameters()]
    large = [
        child
        for child, _ in module.named_children()
        if sum(name.startswith(f"{child}.") for name in names) > len(names) / 2
    ]
    members: dict[str, list[str]] = {}
    for name in names:
        parts = name.split(".")
        members.setdefault(".".join(parts[: 2 if parts[0] in large else 1]), []).append(name)
    top = head_name(module).split(".")[0]
    blocks: list[Block] = []
    for block, held in members.items():
        vectors = all(module.get_parameter(name).ndim <= 1 for name in held)
        if blocks and vectors and block != top:
            blocks[-1] = Block(blocks[-1].name, (*blocks[-1].parameters, *held))
        else:
            blocks.append(Block(block, tuple(held)))
    return blocks


def block_depths(module: nn.Module) -> dict[str, int]:
    """Returns for each parameter, by name, how many blocks its own is away from the head, which has depth 0.

    Args:
        module: see `blocks_of`.
    """
    blocks = blocks_of(module)
    return {name: len(blocks) - 1 - i for i, block in enumerate(blocks) for name in block.parameters}
