"""A real Zope, built by zc.buildout, pushed twice: its database outlives the release, and is never open twice."""

import base64
import urllib.request

import pytest

from tests.machine import Machine, page, run

from .test_php import APPS


@pytest.mark.timeout(600)
def test_zope(machine: Machine) -> None:
    port = machine.init("zope", keep_archives=1)["http_port"]  # found by its buildout.cfg
    tree = machine.work_tree("zope", like=APPS / "zope")
    first = run(["git", "push", str(tree.remote), "HEAD:main"], cwd=tree.folder, timeout=400)  # eighty eggs come first
    assert first.status == 0, first.said
    assert page(port)[0] == 200

    login = base64.b64encode(b"admin:admin").decode()
    form = b"id=kept&title=Kept"
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/manage_addFolder", data=form, headers={"Authorization": f"Basic {login}"}
    )
    with urllib.request.urlopen(asked) as answer:
        assert answer.status in (200, 302)
    assert (machine.project("zope") / "data/var/filestorage/Data.fs").stat().st_size > 0

    tree.commit({"README.txt": "second"})
    second = tree.push()
    assert second.status == 0, second.said
    assert page(port, "/kept/title_or_id") == (200, "Kept")

    tree.commit({"buildout.cfg": "[buildout]\nextends = versions.cfg\nparts =\n"})
    refused = tree.push()
    assert refused.status != 0
    assert "there is no Zope instance to run" in refused.said
    assert page(port, "/kept/title_or_id") == (200, "Kept")
