"""Notifications: the result of a deployment to whom it concerns, by mail and webhook. The pusher reads the console."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any

from corpus.errors import ConfigurationError, CorpusError
from corpus.project.telling.account import account, summary
from corpus.project.telling.page import page
from corpus.project.telling.report import Report
from corpus.secrets import Redactor

_SECONDS = 10
METHODS = ("stdout", "mail", "webhook")


def check(cfg: Mapping[str, Any]) -> None:
    """Check the methods and their settings.

    :raises ConfigurationError: an unknown method, or one that lacks a setting
    """
    for method in cfg["notify_methods"]:
        if method not in METHODS:
            raise ConfigurationError(f"notify_methods: {method!r} is none of {', '.join(METHODS)}.")
        needed = {"mail": "to", "webhook": "url"}.get(method)
        settings = cfg["notify"].get(method)
        if needed and not (isinstance(settings, Mapping) and settings.get(needed)):
            raise ConfigurationError(f"notify_methods has {method!r}: set notify.{method}.{needed}.")


def send(cfg: Mapping[str, Any], report: Report, redactor: Redactor) -> list[str]:
    """Send the result by every configured method.

    :returns: what went wrong, one sentence each; a result is not changed by a mail that could not be sent
    """
    failed = []
    for method in cfg["notify_methods"]:
        try:
            if method == "mail":
                _mail(cfg["notify"]["mail"], report, redactor)
            elif method == "webhook":
                _webhook(cfg["notify"]["webhook"], report, redactor)
        except (OSError, smtplib.SMTPException, ValueError, KeyError, TypeError, CorpusError) as err:
            failed.append(redactor.text(f"{method} could not be sent: {type(err).__name__}: {err}"))
    return failed


def text(report: Report, redactor: Redactor) -> str:
    """Return the result for a person: what, who, when, and a line for each stage."""
    rows = [
        f"{report.kind} of {report.name}: {'success' if report.result else 'FAILURE'}",
        "",
        report.comment,
        summary(report),
        "",
        f"deployment  {report.deployment}",
        f"revision    {report.revision or '-'}",
        f"by          {report.who}",
        f"at          {report.when}",
        f"took        {report.seconds:.1f} s",
        "",
    ]
    marks = {True: "ok", False: "FAILED", None: "skipped"}
    rows += [
        f"{stage.stage:<15} {marks[stage.result]:<8} {stage.seconds:7.2f} s  {stage.comment}" for stage in report.stages
    ]
    rows += ["", *(f"Note: {note}" for note in report.notes)] if report.notes else []
    return redactor.text("\n".join(rows)) + "\n"


def _mail(settings: Mapping[str, Any], report: Report, redactor: Redactor) -> None:
    message = EmailMessage()
    recipients = settings["to"] if isinstance(settings["to"], list) else [settings["to"]]
    message["To"] = ", ".join(recipients)
    message["From"] = settings.get("from", recipients[0])
    message["Subject"] = f"[{report.name}] {report.kind} {'succeeded' if report.result else 'FAILED'}"
    message.set_content(text(report, redactor))
    if settings.get("attach_report"):
        message.add_attachment(
            page(account(report, redactor)), subtype="html", filename=f"{report.name}-{report.deployment}.html"
        )
    with smtplib.SMTP(settings.get("host", "localhost"), int(settings.get("port", 25)), timeout=_SECONDS) as server:
        if settings.get("starttls") or settings.get("user"):
            server.starttls(context=ssl.create_default_context(cafile=settings.get("ca_file")))
        if settings.get("user"):
            server.login(settings["user"], settings["password"])
        server.send_message(message)


def _webhook(settings: Mapping[str, Any], report: Report, redactor: Redactor) -> None:
    import requests

    try:
        answer = requests.post(
            settings["url"], json=report.record(redactor), headers=settings.get("headers"), timeout=_SECONDS
        )
        answer.raise_for_status()
    except requests.RequestException as err:
        status = getattr(getattr(err, "response", None), "status_code", None)
        raise CorpusError(f"the server answered {status}" if status else type(err).__name__) from None
