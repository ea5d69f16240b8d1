"""The world as it is: what nodes, the name server and the master answer when they are asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from corpus.controller import access, admission, names
from corpus.errors import CorpusError, MinionFailed, UsageError

if TYPE_CHECKING:
    from corpus.controller.cloud import Cloud

#: Seconds that a node has for an answer.
PATIENCE = 60


class World:
    """Asks through the cloud; see :class:`corpus.controller.comparison.World`."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def _call(self, node: str, function: str, *words: Any, **more: Any) -> Any:
        return self._cloud.minions.call(node, function, *words, timeout=PATIENCE, **more)

    def containers(self, node: str) -> Mapping[str, bool]:
        """The containers of a node, and whether each runs."""
        found = self._call(node, "mc_lxc.list")
        if not isinstance(found, Mapping):
            raise CorpusError(f"{node} does not tell its containers: {str(found)[:200]}")
        return {str(name): facts.get("state") != "STOPPED" for name, facts in found.items()}

    def images(self, node: str) -> Iterable[str]:
        """The images in a node's pool."""
        return [str(name) for name in self._call(node, "mc_lxc.images")]

    def traffic(self, node: str, wanted: Mapping[str, Any], test: bool) -> Mapping[str, Any]:
        """What differs in a node's traffic; settled unless ``test``."""
        try:
            report = self._call(node, "mc_node.traffic", dict(wanted), test=test)
        except MinionFailed as err:  # Salt takes a result that is None, "it would change", for a failure
            if not test or not isinstance(err.value, Mapping) or err.value.get("result", False) is not None:
                raise
            report = err.value
        if not isinstance(report, Mapping):
            raise CorpusError(f"{node} does not tell its traffic: {str(report)[:200]}")
        return dict(report.get("changes") or {})

    def names(self, test: bool) -> Mapping[str, Mapping[str, str]]:
        """What differs in DNS; settled unless ``test``. Nothing, when no name server is configured."""
        return names.synchronize(self._cloud, plan=test)

    def keys(self) -> set[str]:
        """The minions whose keys are accepted."""
        return self._cloud.minions.accepted()

    def let_in(self, minion: str) -> Mapping[str, str]:
        """The public ssh keys that a machine lets in as root: fingerprints, and the comment of each."""
        found = self._call(minion, "ssh.auth_keys", user="root")
        if not isinstance(found, Mapping):
            raise CorpusError(f"{minion} does not tell whom it lets in: {str(found)[:200]}")
        told: dict[str, str] = {}
        for encoded, facts in found.items():
            with suppress(UsageError):  # ssh takes no such line either
                fingerprint = access.fingerprint_of(str(encoded))
                told[fingerprint] = str(facts.get("comment") or "") if isinstance(facts, Mapping) else ""
        return told

    def admit(self, minion: str, public: str) -> None:
        """Let a public ssh key in as root."""
        admission.settle_key(self._cloud, minion, public, True)

    def start(self, node: str, guest: str) -> None:
        """Start a container."""
        self._call(node, "mc_lxc.start", guest)

    def stop(self, node: str, guest: str) -> None:
        """Stop a container."""
        self._call(node, "mc_lxc.stop", guest)
