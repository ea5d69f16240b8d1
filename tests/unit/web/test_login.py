"""What passwords are counted by."""

import pytest
from corpus.web import login
from corpus.web.problems import Refused


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("unknown", "unknown", True),
    ],
)
def test_who_has_a_network_of_addresses_has_no_more_tries(one: str, other: str, same: bool) -> None:
    throttle = login.Throttle()
    for number in range(login.TRIES_OF_ADDRESS):
        throttle.failed(f"name{number}", one)
    if same:
        with pytest.raises(Refused, match="Too many"):
            throttle.check("somebody", other)
    else:
        throttle.check("somebody", other)
