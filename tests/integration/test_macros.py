"""The macros, imported by a project's own sls: processes, site, cron, logs, files, database."""

import stat
from pathlib import Path

from tests.machine import Machine, page

SLS = """\
include: {{ cfg.sls_includes['configure'] | json }}
{% from '2/macros/process.jinja' import process with context %}
{% from '2/macros/site.jinja' import site with context %}
{% from '2/macros/cron.jinja' import job with context %}
{% from '2/macros/logrotate.jinja' import logs with context %}
{% from '2/macros/file.jinja' import configuration, env_file with context %}
{% from '2/macros/database.jinja' import database with context %}
{{ process('web', 'python3 -m http.server --bind 127.0.0.1 $PORT') }}
{{ site('macros.example.org') }}
{{ job('@daily', 'true') }}
{{ logs('log/*.log') }}
{{ configuration('etc/shop.ini', 'shop.ini.jinja') }}
{{ database('sqlite') }}
{{ env_file('etc/env', ['DATABASE_URL', 'QUOTED']) }}
"""


def test_every_macro(machine: Machine) -> None:
    port = machine.init("macros", installer="generic", env={"QUOTED": 'a"b $c'})["http_port"]
    files = {".salt/configure.sls": SLS, ".salt/shop.ini.jinja": "name = {{ cfg.name }}\n", "index.html": "served"}
    pushed = machine.work_tree("macros", files).push()
    assert pushed.status == 0, pushed.said
    assert page(port, "/", "macros.example.org") == (200, "served")
    data = machine.project("macros") / "data"
    assert (data / "etc/shop.ini").read_text() == "name = macros\n"
    lines = (data / "etc/env").read_text().splitlines()
    assert lines == [f'DATABASE_URL="sqlite:///{data}/macros.sqlite3"', 'QUOTED="a\\"b \\$c"']
    assert stat.S_IMODE((data / "etc/env").stat().st_mode) == 0o600
    assert "@daily root" in Path("/etc/cron.d/corpus-macros").read_text()
    assert "data/log/*.log" in Path("/etc/logrotate.d/corpus-macros").read_text()
    machine.ok("mc_project.destroy_project", "macros", confirm="macros")
