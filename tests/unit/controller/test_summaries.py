"""Lists: what a row says, and that guests are counted together."""

from corpus.controller.registry import summaries
from corpus.controller.registry.models import ComputeNode
from corpus.controller.registry.store import Registry

from tests.unit.controller import tenants


def test_compute_nodes_are_listed_with_what_they_have(registry: Registry) -> None:
    tenants.fill(registry)
    with registry.session() as session:
        session.add(ComputeNode(name="a-new-one", minion_id="a-new-one", host="a-new-one"))
    with registry.reading() as session:
        new, first, second = summaries.compute_nodes(session)
    assert (new.name, new.guests, new.free_slots, new.storage_promised, new.names) == ("a-new-one", 0, None, 0, ())
    assert (first.name, first.guests, first.slots, first.free_slots) == ("n1.corpus.test", 2, 10, 8)
    assert (first.storage_promised, first.storage_size, first.storage_free) == (10 << 30, 100 << 30, 60 << 30)
    assert (first.memory_promised, first.memory, first.load) == (2 << 30, None, 0.5)
    assert (first.names, first.guest_types, first.address) == (("*.n1.corpus.test",), ("lxc",), "192.0.2.1")
    assert second.name == "n2.corpus.test"
