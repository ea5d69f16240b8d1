"""Names that compute nodes get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corpus.controller import compute_nodes, names, operations, wiring
from corpus.controller.operations import Step


@operations.kind("compute_node.link_dns", subject=compute_nodes.subject, resolve=compute_nodes.NAMED)
def linking(arguments: Mapping[str, Any]) -> list[Step]:
    """One more name that stands for the node."""
    return names.linking(arguments, lambda session, run: wiring.node(session, run.arguments["node"]))
