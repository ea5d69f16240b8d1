"""The master as the web service reaches it: over its return port, with an identity that may call one function."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from corpus.errors import CorpusError
from corpus.web.settings import WebSettings

log = logging.getLogger(__name__)

#: Seconds that the master may take to take a call.
_TAKING = 10


class Master:
    """The master.

    :param settings: of the web service
    """

    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings

    def login(self, username: str, password: str) -> list[str] | None:
        """Return the groups of a person whose password is right, or None when it is wrong.

        :raises CorpusError: the master does not answer
        """
        answer = self._send(
            {"cmd": "mk_token", "eauth": self._settings.eauth, "username": username, "password": password}
        )
        if not isinstance(answer, Mapping) or "name" not in answer:
            return None
        return sorted({str(group) for group in answer.get("groups") or ()})

    def answer(self, question: str) -> None:
        """Let the master answer a question.

        :raises CorpusError: the master does not answer
        """
        password = self._settings.password_file.read_text().strip()
        answer = self._send(
            {
                "cmd": "runner",
                "fun": "mc_controller.answer",
                "kwarg": {"question": question},
                "eauth": "file",
                "username": self._settings.identity,
                "password": password,
            }
        )
        if isinstance(answer, Mapping) and "error" in answer:
            log.error("The master refuses to answer: %s", answer["error"].get("name"))
            raise CorpusError("The master does not let the web service in: make the controller's configuration again.")

    def _send(self, load: dict[str, Any]) -> Any:
        import salt.channel.client
        import salt.config
        import salt.exceptions

        opts = dict(salt.config.DEFAULT_MASTER_OPTS)
        opts |= {
            "__role": "master",
            "master_uri": f"tcp://{self._settings.master}:{self._settings.master_port}",
            "interface": self._settings.master,
            "ret_port": self._settings.master_port,
        }
        try:
            with salt.channel.client.ReqChannel.factory(opts, crypt="clear", usage="master_call") as channel:
                return channel.send(load, timeout=_TAKING, tries=1)
        except (salt.exceptions.SaltException, OSError) as err:
            raise CorpusError("The master does not answer: see whether salt-master runs.") from err
