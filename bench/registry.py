"""What a minion's pillar and the list of nodes cost in a big registry, against a small one; SQLite and PostgreSQL."""

import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from corpus.controller import compute_nodes, pillar
from corpus.controller.cloud import Cloud
from corpus.controller.credentials import Credentials
from corpus.controller.settings import Settings

from bench.figure import Figure, by_round, in_turns, median, seconds
from tests.registries import databases, registry_at

GOAL = 1.5
ROUNDS = 7
#: nodes of the small registry and of the big one, with a hundred guests each
SIZES = (10, 1000)
GUESTS = 100
_MINIONS = 100
_NODES = 10

_COUNTING = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {most}) "
#: Filled by the database itself; both understand this much SQL.
_FILLING = """
INSERT INTO owners (name, created)
    SELECT 'owner' || n, {now} FROM numbers WHERE n <= {nodes};
INSERT INTO images (name, version, digest, size, created)
    VALUES ('guest', '1', 'sha256:0', 1, {now});
INSERT INTO compute_nodes (uuid, name, minion_id, host, ssh_port, ssh_user, address, network, network6, guest_types,
        state, slots, storage_size, storage_free, load, inventory, settings, created)
    SELECT 'node' || n, 'n' || n || '.corpus.test', 'n' || n || '.corpus.test', 'n' || n, 22, 'root',
        '192.0.' || (n / 256) || '.' || (n % 256), '10.' || (64 + n / 256) || '.' || (n % 256) || '.0/24',
        'fd00:64:' || n || '::/64', '["lxc"]', 'ready', 200, 1000000000, 1000000, 0.5, '{}', '{"firewall": []}', {now}
    FROM numbers WHERE n <= {nodes};
INSERT INTO platforms (uuid, node_id, owner_id, type, operation_mode, settings, created)
    SELECT 'platform' || n, n, n, 'prod', 'final', '{"default_env": "prod"}', {now} FROM numbers WHERE n <= {nodes};
INSERT INTO guests (uuid, name, minion_id, node_id, platform_id, type, address, address6, ssh_port, http_port, image_id,
        size_bytes, memory, state, settings, created)
    SELECT 'guest' || (p.id * {guests} + n), 'g' || (p.id * {guests} + n), 'g' || (p.id * {guests} + n) || '.corpus.test',
        p.id, p.id, 'lxc', '10.' || (64 + p.id / 256) || '.' || (p.id % 256) || '.' || (n + 1),
        'fd00:64:' || p.id || '::' || (n + 1), 40000 + n, 80, 1, 5000000000, 1000000000, 'running', '{}', {now}
    FROM platforms p CROSS JOIN numbers WHERE n <= {guests};
INSERT INTO dns_names (fqdn, kind, guest_id, ttl, created)
    SELECT name || '.corpus.test', 'address', id, 60, {now} FROM guests;
INSERT INTO dns_names (fqdn, kind, node_id, ttl, created)
    SELECT '*.' || name, 'address', id, 60, {now} FROM compute_nodes;
INSERT INTO ssh_keys (name, public, fingerprint, owner_id, guest_id, created)
    SELECT 'key', 'ssh-ed25519 ' || uuid, uuid, platform_id, id, {now} FROM guests;
INSERT INTO ssh_keys (name, public, fingerprint, owner_id, node_id, created)
    SELECT 'key', 'ssh-ed25519 ' || uuid, uuid, id, id, {now} FROM compute_nodes;
INSERT INTO projects (uuid, name, settings, created)
    SELECT 'project' || id, 'p' || id, '{}', {now} FROM guests;
INSERT INTO placements (project_id, guest_id, created)
    SELECT p.id, g.id, {now} FROM projects p JOIN guests g ON p.name = 'p' || g.id;
INSERT INTO credentials (subject, name, value, created, changed)
    SELECT 'guest:' || uuid, 'root', {blob}, {now}, {now} FROM guests
"""


def measure(say: Callable[[str], None]) -> Figure:
    """The worst ratio of both databases: a guest's pillar, a node's pillar, ten nodes of the list."""
    found: dict[str, float | list[float]] = {}
    ratios = {}
    with ExitStack() as stack:
        postgres = stack.enter_context(databases())
        for kind in ("sqlite", "postgresql"):
            small, big = [
                stack.enter_context(filled(nodes, postgres.new() if kind == "postgresql" else None)) for nodes in SIZES
            ]
            say(f"{kind}: registries of {' and '.join(f'{nodes * GUESTS:,}' for nodes in SIZES)} guests made")
            for what, ask in (("guest", _guests), ("node", _nodes), ("list", _list)):
                dice = random.Random(1)
                quiet: list[str] = []
                bigs, smalls = in_turns(
                    ROUNDS,
                    lambda ask=ask, dice=dice, big=big: ask(big, SIZES[1], dice),
                    lambda ask=ask, dice=dice, small=small: ask(small, SIZES[0], dice),
                    quiet.append,
                )
                ratios[f"{kind} {what}"] = median(bigs) / median(smalls)
                say(f"{kind}, {what}: {1000 * median(bigs):.3f} ms against {1000 * median(smalls):.3f} ms")
                found |= {
                    f"{kind}_{what}_big_ms": 1000 * median(bigs),
                    f"{kind}_{what}_small_ms": 1000 * median(smalls),
                    f"{kind}_{what}_by_round": by_round(bigs, smalls),
                }
    return Figure("ask a registry of 100,000 guests, to one of 1,000", max(ratios.values()), GOAL, found)


@contextmanager
def filled(nodes: int, url: str | None, guests: int = GUESTS, more: str = "", **words: object) -> Iterator[Cloud]:
    """A cloud whose registry has so many nodes, with so many guests each.

    :param url: of an empty PostgreSQL database; None: it is in SQLite
    :param more: statements that fill what else there shall be, before the database looks at its tables
    :param words: that these statements need, beside those that all have
    """
    with tempfile.TemporaryDirectory(prefix="corpus-bench-") as folder, registry_at(Path(folder), url) as registry:
        with registry.session() as session:
            most = {"now": "'2026-01-01 00:00:00'", "nodes": nodes, "guests": guests, "most": max(nodes, guests, 100)}
            words = {**most, "blob": "X'00'" if url is None else r"'\x00'", **words}
            for statement in [*_FILLING.split(";"), *(more.split(";") if more else ()), "ANALYZE"]:
                whole = _COUNTING + statement.strip() if "numbers" in statement else statement.strip()
                for word, value in words.items():
                    whole = whole.replace(f"{{{word}}}", str(value))
                session.connection().exec_driver_sql(whole, execution_options={"no_parameters": True})
            # only who is asked for has a credential that can be read: to encrypt them all would take longest
            credentials = Credentials.of(registry)
            for number in _asked(nodes) if guests == GUESTS else ():
                credentials.store(session, f"guest:guest{number}", "root", "secret")
        cloud = Cloud(Settings(home=Path(folder), registry_url=url or ""))
        yield cloud
        cloud.registry.close()


def _asked(nodes: int) -> list[int]:
    """The guests whose pillars are asked for, all over the registry."""
    return random.Random(2).sample(range(GUESTS + 1, (nodes + 1) * GUESTS), 10 * _MINIONS - 100)


def _guests(cloud: Cloud, nodes: int, dice: random.Random) -> float:
    """Seconds for the pillar of one guest."""
    names = [f"g{number}.corpus.test" for number in dice.sample(_asked(nodes), _MINIONS)]

    def ask() -> None:
        for name in names:
            assert pillar.of(cloud.registry, name)["corpus"]["credentials"] == {"root": "secret"}

    return seconds(ask) / _MINIONS


def _nodes(cloud: Cloud, nodes: int, dice: random.Random) -> float:
    """Seconds for the pillar of one node with its hundred guests."""
    names = [f"n{number}.corpus.test" for number in dice.sample(range(1, nodes + 1), _NODES)]

    def ask() -> None:
        for name in names:
            assert len(pillar.of(cloud.registry, name)["corpus"]["traffic"]["guests"]) == GUESTS

    return seconds(ask) / _NODES


def _list(cloud: Cloud, nodes: int, dice: random.Random) -> float:
    """Seconds for a page of the list of nodes, from somewhere in it."""
    after = f"n{dice.randrange(1, 900)}" if nodes > _NODES else None

    def ask() -> None:
        found = compute_nodes.listed(cloud, _NODES, after)
        assert len(found) == _NODES
        assert {node["guests"] for node in found.values()} == {GUESTS}

    return seconds(ask)
