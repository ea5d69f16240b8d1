"""The PowerDNS that tests use: it answers at once, through its API and through ``dig``."""

import pytest

from tests import powerdns

pytestmark = pytest.mark.skipif(powerdns.MISSING is not None, reason=str(powerdns.MISSING))


def test_two_run_at_once_and_answer() -> None:
    with powerdns.powerdns() as one, powerdns.powerdns() as other:
        made = one.call("POST", "zones", name="corpus.test.", kind="Native", nameservers=["ns1.corpus.test."])
        assert made.status_code == 201, made.text
        assert one.dig("corpus.test", "NS") == ["ns1.corpus.test."]
        assert one.serial("corpus.test") > 0
        assert one.status("nothing.corpus.test") == "NXDOMAIN"
        assert other.status("corpus.test") == "REFUSED"
        assert one.key_file.stat().st_mode & 0o777 == 0o600
