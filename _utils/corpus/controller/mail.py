"""Mails of the controller: plain text, to who asked and to the sysadmins.

A mail holds no credential, ever: whoever needs one gets a one-time link, or the command that shows it to who may.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from corpus.controller.settings import Mail
from corpus.errors import CorpusError, MailFailed

_SECONDS = 10


class Mailer:
    """Sends mails by the server of the settings.

    :param settings: the server; None: there is none, and no mail is sent
    """

    def __init__(self, settings: Mail | None) -> None:
        self._settings = settings

    def send(self, to: str | Sequence[str], subject: str, text: str) -> bool:
        """Send a mail; return whether there was a server to send it by and somebody to send it to.

        :param to: addresses; each is one recipient, and those that are empty or named twice are left out
        :raises MailFailed: the server does not answer, cannot be trusted, or refuses
        """
        wanted = [to] if isinstance(to, str) else to
        recipients = list(dict.fromkeys(address.strip() for address in wanted if address and address.strip()))
        if self._settings is None or not recipients:
            return False
        where = f"{self._settings.host}:{self._settings.port}"
        try:
            self._deliver(_message(self._settings.sender, recipients, subject, text), recipients)
        except ssl.SSLError as err:
            raise MailFailed(
                f"The mail server {where} cannot be trusted ({err.reason or err}): set corpus.mail.cafile to its authority."
            ) from err
        except smtplib.SMTPRecipientsRefused as err:
            refused = "; ".join(
                f"{address}: {reason.decode(errors='replace')}" for address, (_, reason) in err.recipients.items()
            )
            raise MailFailed(f"The mail server {where} refuses the mail: {refused}") from err
        except smtplib.SMTPResponseException as err:
            words = err.smtp_error.decode(errors="replace") if isinstance(err.smtp_error, bytes) else err.smtp_error
            raise MailFailed(f"The mail server {where} refuses: {err.smtp_code} {words}") from err
        except (OSError, smtplib.SMTPException) as err:
            raise MailFailed(f"The mail server {where} cannot be used: {err}") from err
        return True

    def _deliver(self, message: EmailMessage, recipients: Sequence[str]) -> None:
        settings = self._settings
        assert settings is not None
        with smtplib.SMTP(settings.host, settings.port, timeout=_SECONDS) as server:
            if settings.starttls:
                cafile = str(settings.cafile) if settings.cafile else None
                server.starttls(context=ssl.create_default_context(cafile=cafile))
            if settings.username:
                server.login(settings.username, _password(settings))
            server.send_message(message, to_addrs=list(recipients))


def _password(settings: Mail) -> str:
    try:
        return settings.password_file.read_text(encoding="utf-8").strip() if settings.password_file else ""
    except OSError as err:
        raise MailFailed(f"The password file {settings.password_file} cannot be read: {err.strerror}.") from err


def _message(sender: str, recipients: Sequence[str], subject: str, text: str) -> EmailMessage:
    message = EmailMessage()
    try:
        message["From"] = sender
        message["To"] = ", ".join(recipients)
        message["Subject"] = subject
    except (ValueError, IndexError) as err:  # a line feed would begin a header of somebody else's choice
        raise CorpusError("A mail's addresses and subject are one line each.") from err
    if len(message["To"].addresses) != len(recipients) or any(not one.domain for one in message["To"].addresses):
        raise CorpusError(f"{', '.join(recipients)!r} is not a list of mail addresses.")
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2].strip("> ") or None)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    return message
