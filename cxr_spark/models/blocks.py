"""The blocks of a network from its input to its head, for learning rates by depth."""

from __future__ import annotations

from torch import nn

from cxr_spark.models.head import head_name


def block_depths(module: nn.Module) -> dict[str, int]:
    """Returns for each parameter, by name, how many blocks its own is away from the head.

    A block is a child of the network, such as `layer3` of a ResNet. Where one child holds more than half of all layers
    with parameters, such as `features` of a DenseNet, its children are blocks instead. What has only vectors (a batch
    norm) belongs to the block before it. The head, and what stands beside it in the classifier, has depth 0.

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
    blocks: list[list[str]] = []
    for block, held in members.items():
        vectors = all(module.get_parameter(name).ndim <= 1 for name in held)
        if blocks and vectors and block != top:
            blocks[-1].extend(held)
        else:
            blocks.append(held)
    return {name: len(blocks) - 1 - i for i, held in enumerate(blocks) for name in held}
