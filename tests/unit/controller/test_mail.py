"""Mails of the controller, to a server that takes or refuses them."""

import datetime
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as Handler
from aiosmtpd.smtp import AuthResult
from corpus.controller.cloud import Cloud
from corpus.controller.mail import Mailer
from corpus.controller.settings import Mail, Settings
from corpus.errors import CorpusError, MailFailed
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.machine import free_port


class Sink(Handler):
    """Keeps what it is sent; refuses one address."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Message] = []

    def handle_message(self, message: Message) -> None:
        self.mails.append(message)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if address.startswith("nobody@"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"


@contextmanager
def sink(**options: Any) -> Iterator[tuple[Sink, int]]:
    handler, port = Sink(), free_port()
    server = Controller(handler, hostname="127.0.0.1", port=port, **options)
    server.start()
    try:
        yield handler, port
    finally:
        server.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate with its key, for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "cert.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


def mailer(port: int, **settings: Any) -> Mailer:
    return Mailer(Mail(host="localhost", port=port, sender="corpus <corpus@example.org>", **settings))


def test_a_mail_arrives_as_it_was_written() -> None:
    with sink() as (received, port):
        assert (
            mailer(port).send(["ada@example.org", "bob@example.org", "", "ada@example.org"], "Prêt", "Grüße\n") is True
        )
    (mail,) = received.mails
    assert mail["To"] == "ada@example.org, bob@example.org"
    assert mail["From"] == "corpus <corpus@example.org>"
    assert mail["X-RcptTo"] == "ada@example.org, bob@example.org"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].endswith("+0000")
    assert "Grüße" in mail.get_payload(decode=True).decode()  # type: ignore[union-attr]


def test_the_cloud_tells_sysadmins_and_who_asked() -> None:
    with sink() as (received, port):
        mail = Mail(host="localhost", port=port, sender="c@example.org", sysadmins=("ops@example.org",))
        cloud = Cloud(Settings(mail=mail))
        assert cloud.mail("Ready", "It is.", [None, "ada@example.org"]) == "to ops@example.org, ada@example.org"
    assert received.mails[0]["X-RcptTo"] == "ops@example.org, ada@example.org"
    assert Cloud(Settings()).mail("Ready", "It is.", ["ada@example.org"]) is None
    assert mailer(1).send([], "x", "y") is False


@pytest.mark.parametrize(
    ("to", "subject"),
    [("ada@example.org\nBcc: eve@example.org", "x"), ("ada@example.org", "x\r\nBcc: eve@example.org"), ("ada", "x")],
)
def test_nobody_puts_headers_into_a_mail(to: str, subject: str) -> None:
    with sink() as (received, port), pytest.raises(CorpusError):
        mailer(port).send([to], subject, "text")
    assert received.mails == []


def test_what_the_server_refuses_is_told() -> None:
    with sink() as (_, port), pytest.raises(MailFailed, match=r"refuses the mail: nobody@example\.org: no such user"):
        mailer(port).send("nobody@example.org", "x", "text")
    with pytest.raises(MailFailed, match="cannot be used"):
        mailer(free_port()).send("ada@example.org", "x", "text")


def test_over_tls_the_server_is_checked_before_it_learns_anything(certificate: Path, tmp_path: Path) -> None:
    seen: list[Any] = []

    def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        seen.append(data)
        return AuthResult(success=data.password == b"s3cret", handled=False)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    password = tmp_path / "password"
    password.write_text("s3cret\n")
    options = {"starttls": True, "username": "corpus", "password_file": password}
    with sink(tls_context=context, require_starttls=True, auth_required=True, authenticator=authenticate) as (
        box,
        port,
    ):
        with pytest.raises(MailFailed, match=r"cannot be trusted .*corpus\.mail\.cafile"):
            mailer(port, **options).send("ada@example.org", "x", "text")
        assert (seen, box.mails) == ([], [])
        assert mailer(port, cafile=certificate, **options).send("ada@example.org", "x", "text") is True
        password.write_text("wrong")
        with pytest.raises(MailFailed, match="refuses: 535"):
            mailer(port, cafile=certificate, **options).send("ada@example.org", "x", "text")
        password.unlink()
        with pytest.raises(MailFailed, match="cannot be read"):
            mailer(port, cafile=certificate, **options).send("ada@example.org", "x", "text")
    assert len(box.mails) == 1


def test_a_server_that_does_not_encrypt_gets_no_mail(certificate: Path) -> None:
    with sink() as (received, port), pytest.raises(MailFailed):
        mailer(port, starttls=True, cafile=certificate).send("ada@example.org", "x", "text")
    assert received.mails == []
