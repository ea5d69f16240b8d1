"""Minions: functions called on nodes and guests, through the master.

What is called travels to every minion of the master, encrypted with a key that they all have: arguments must not hold
secrets. Let a minion read those from its pillar, or bring them over ssh.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from corpus import identifiers
from corpus.errors import CorpusError, MinionFailed, MinionSilent, UsageError

log = logging.getLogger(__name__)

#: Is told of each call before it goes out, and again when it was answered: its job's id, the minion, whether it is over.
watch: ContextVar[Callable[[str, str, bool], None] | None] = ContextVar("watch", default=None)

_FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*")
_LIKE_KEYWORD = re.compile(r"[^\d\W][\w.-]*=")
#: Seconds of silence after which a minion is asked whether it still works on the call; and that it has to answer that.
PATIENCE = 10.0
ANSWERING = 15.0
#: Seconds within which the master keeps a return that it told of
KEEPING = 5.0


class Minions:
    """The minions of the master.

    :param opts: of the master
    """

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self._opts = opts

    def call(self, minion_id: str, function: str, *args: Any, timeout: float = 60, **kwargs: Any) -> Any:
        """Call a function of a minion and return its answer.

        :param timeout: seconds that it may take. A minion that is not there is noticed before
        :raises MinionSilent: the minion has no accepted key, does not answer, or lost the call
        :raises MinionFailed: the function failed; the message is the minion's own
        :raises CorpusError: the master does not answer, or the function took too long
        """
        minion_id = identifiers.domain_name(minion_id)
        if not _FUNCTION.fullmatch(function):
            raise UsageError(f"{identifiers.shown(function)} is no function of a minion.")
        for value in args:
            if isinstance(value, str) and _LIKE_KEYWORD.match(value):  # the minion would take it for one
                raise UsageError(f"{function}: pass {identifiers.shown(value)} by its keyword, not by its position.")
        watcher, jid = watch.get(), ""
        if watcher is not None:
            from salt.utils.jid import gen_jid

            jid = gen_jid(dict(self._opts))
            watcher(jid, minion_id, False)
        with self._client() as client:
            answer = _Call(client, minion_id, function, args, kwargs, jid).answer(timeout)
        if watcher is not None:
            watcher(jid, minion_id, True)
        return _judged(minion_id, function, answer)

    def is_over(self, minion_id: str, jid: str, timeout: float = 600) -> bool:
        """Wait until a minion does not work on a job any more; return whether that is so.

        A minion that does not answer works on nothing.

        :param jid: of a call that nobody waits for any more
        """
        end = time.monotonic() + timeout
        while True:
            try:
                found = self.call(minion_id, "saltutil.find_job", jid, timeout=ANSWERING)
            except (MinionSilent, MinionFailed):
                return True
            if not found:
                return True
            if time.monotonic() >= end:
                return False
            time.sleep(0.2)

    def answers(self, minion_id: str, timeout: float = 5) -> bool:
        """Tell whether a minion answers now.

        :param timeout: seconds that it has
        """
        try:
            with self._client() as client:
                call = _Call(client, identifiers.domain_name(minion_id), "test.ping", (), {})
                return call.wait(time.monotonic() + timeout) is not None
        except MinionSilent:
            return False

    def wait_for(self, minion_id: str, timeout: float = 60) -> float:
        """Return when a minion answers, with the seconds that took.

        :raises MinionSilent: it does not
        """
        began = time.monotonic()
        with self._client() as client:
            while (left := began + timeout - time.monotonic()) > 0:
                try:
                    call = _Call(client, identifiers.domain_name(minion_id), "test.ping", (), {})
                except MinionSilent:  # its key is on its way
                    time.sleep(0.2)
                    continue
                if call.wait(time.monotonic() + min(2.0, left), starts=True) is not None:
                    return time.monotonic() - began
        raise MinionSilent(
            f"The minion {minion_id} did not answer within {timeout:g} seconds: see its log, and whether it reaches the master."
        )

    def master_runs(self) -> bool:
        """Tell whether the master takes calls on this machine."""
        for path in Path(str(self._opts["sock_dir"])).glob("publish_pull.ipc"):
            with suppress(OSError), closing(socket.socket(socket.AF_UNIX)) as probe:
                probe.settimeout(1)
                probe.connect(str(path))
                return True
        return False

    def accepted(self) -> set[str]:
        """Return the minions whose keys are accepted."""
        folder = Path(str(self._opts["pki_dir"])) / "minions"
        return {path.name for path in folder.iterdir() if not path.name.startswith(".")} if folder.is_dir() else set()

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """A client of the master that hears what minions return; errors of the master in our words."""
        import salt.client
        import salt.exceptions

        if not self._opts.get("conf_file"):
            raise CorpusError("The master's configuration is not known here: run this as a runner (salt-run).")
        # Salt has one event loop per thread; a client that is made within another's would wait for itself.
        if threading.current_thread() is not threading.main_thread():
            _own_loop()
        try:
            with salt.client.LocalClient(mopts=_client_opts(self._opts), listen=True) as client:
                yield client
        except (salt.exceptions.SaltException, OSError) as err:
            raise CorpusError(f"The master does not answer: {_first_line(err)}") from err


class _Call:
    """A call on its way.

    :param client: a listening client
    :param jid: of the job; empty: the master's choice
    """

    def __init__(
        self, client: Any, minion_id: str, function: str, args: Sequence[Any], kwargs: Mapping[str, Any], jid: str = ""
    ) -> None:
        self._client, self._minion, self._function = client, minion_id, function
        self._jid = self._publish(function, list(args), dict(kwargs), jid)

    def _publish(self, function: str, args: list[Any], kwargs: dict[str, Any], jid: str = "") -> str:
        from salt.utils.args import condition_input

        published = self._client.pub(
            [self._minion],
            function,
            condition_input(args, kwargs or None),
            tgt_type="list",
            jid=jid,
            timeout=15,
            listen=True,
        )
        if not published or "jid" not in published:
            reason = published.get("error") if isinstance(published, Mapping) else None
            raise CorpusError(f"The master took no call for {self._minion}{f': {reason}' if reason else ''}.")
        if self._minion not in published.get("minions", ()):
            raise MinionSilent(f"The minion {self._minion} is not known to this master: it has no accepted key.")
        return str(published["jid"])

    def wait(self, until: float, jid: str | None = None, starts: bool = False) -> dict[str, Any] | None:
        """Return what the minion returned, or None when the time is over.

        :param until: a moment of the monotonic clock
        :param jid: of another call to the same minion
        :param starts: do not wait on when the minion tells that it started: it did not hear the call
        """
        tag, started = f"salt/job/{jid or self._jid}/ret/{self._minion}", f"salt/minion/{self._minion}/start"
        while (left := until - time.monotonic()) > 0:
            event = self._client.event.get_event(wait=left, tag="salt/", match_type="startswith", full=True)
            if event and event["tag"] == tag:
                found = self._kept(jid or self._jid)
                if found is not None:
                    return found
            if event and starts and event["tag"] == started:
                return None
        return None

    def _kept(self, jid: str) -> dict[str, Any] | None:
        """Return what the master kept of the minion's return, or None when there is nothing.

        Any minion can fire an event with any tag; what is in the job cache came from the minion itself.
        """
        end = time.monotonic() + KEEPING
        while True:  # the event is fired just before
            there = self._client.returners[f"{self._client.opts['master_job_cache']}.get_jid"](jid)
            if self._minion in there:
                return {**there[self._minion], "jid": jid}
            if time.monotonic() >= end:
                return None
            time.sleep(0.005)

    def answer(self, timeout: float) -> dict[str, Any]:
        """Return what the minion returned; ask now and then whether it still works on it."""
        end = time.monotonic() + timeout
        while True:
            found = self.wait(min(end, time.monotonic() + PATIENCE))
            if found is not None:
                return found
            if time.monotonic() >= end:
                raise CorpusError(f"{self._function} on {self._minion} did not end within {timeout:g} seconds.")
            asked = self._publish("saltutil.find_job", [self._jid], {})
            told = self.wait(time.monotonic() + ANSWERING, asked) or self.wait(time.monotonic() + 0.1)
            if told is not None and told.get("jid") == self._jid:
                return told
            if told is None:
                raise MinionSilent(
                    f"The minion {self._minion} does not answer: is the machine up, and does salt-minion run there?"
                )
            if not told.get("return"):
                found = self._kept(self._jid)  # its event may have passed while we asked
                if found is None:
                    raise MinionSilent(f"The minion {self._minion} lost {self._function}: did it restart? Ask again.")
                return found


def _judged(minion_id: str, function: str, answer: Mapping[str, Any]) -> Any:
    """Return what a function returned, or raise what it complained about."""
    value = answer.get("return")
    if isinstance(value, Mapping) and value.get("result", True) is None:
        return value  # what would be changed: no failure, although Salt counts it as one
    if answer.get("retcode", 0) == 0 and answer.get("success", True) is not False:
        return value
    raise MinionFailed(f"{function} on {minion_id}: {_complaint(value)}", value)


def _complaint(value: Any) -> str:
    """Return the words of a function that failed."""
    if isinstance(value, Mapping):
        if isinstance(value.get("comment"), str) and value["comment"].strip():
            return str(value["comment"]).strip()
        failed = [
            f"{state.get('__id__', key)}: {str(state.get('comment', '')).strip()}"
            for key, state in value.items()
            if isinstance(state, Mapping) and state.get("result") is False
        ]
        own = [line for line in failed if "One or more requisite failed" not in line]
        if failed:
            return (own or failed)[0] + (f" (and {len(failed) - 1} more)" if len(failed) > 1 else "")
        if isinstance(value.get("stderr"), str) and value["stderr"].strip():
            return str(value["stderr"]).strip().splitlines()[-1]
    if isinstance(value, (list, tuple)) and value and all(isinstance(line, str) for line in value):
        return " ".join(value)
    words = str(value if value not in (None, "", False) else "It failed without a word.").strip()
    if "Traceback (most recent call last)" in words:
        words = words.splitlines()[-1]
    return re.sub(r"\A(ERROR: |Error running '[^']*': )+", "", words)


def _client_opts(opts: Mapping[str, Any]) -> dict[str, Any]:
    """A runner's options are the master's, in which a client misses some of its own."""
    import salt.config

    given = dict(opts)
    known = salt.config.client_config(str(given["conf_file"]))
    # Where a process was given other folders than its file has (tests, salt-run -c), those count.
    for key in ("sock_dir", "cachedir", "pki_dir", "key_dir", "interface", "ret_port", "publish_port", "root_dir"):
        if key in given:
            known[key] = given[key]
    return dict(known)


def _own_loop() -> None:
    import asyncio

    try:
        asyncio.get_event_loop_policy().get_event_loop()
    except RuntimeError:
        asyncio.set_event_loop(asyncio.new_event_loop())


def _first_line(err: BaseException) -> str:
    words = str(err).strip().splitlines()
    return words[0] if words else type(err).__name__
