"""What a project registers with the machine's services: cron and logrotate, written when the version runs, gone with it."""

import subprocess
from pathlib import Path

from tests.machine import Machine, run


def test_cron_and_logrotate(machine: Machine) -> None:
    name = "by-clock"
    jobs = [{"schedule": "5 4 1 1 *", "command": 'echo "at: $CORPUS_RELEASE 100%" > "$DATA_ROOT/ran"'}]
    machine.init(name, installer="generic", document_root="public", cron=jobs, logrotate=["log/*.log"])
    cron, rotation = Path("/etc/cron.d/corpus-by-clock"), Path("/etc/logrotate.d/corpus-by-clock")
    tree = machine.work_tree(name, {"public/index.html": "x"})
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    assert "1 commands by the clock" in pushed.said

    line = cron.read_text().splitlines()[-1]
    assert line.startswith("5 4 1 1 * root ")
    command = line.removeprefix("5 4 1 1 * root ").replace("\\%", "%")  # as cron hands it to the shell
    done = subprocess.run(["/bin/sh", "-c", command], env={"PATH": "/usr/bin:/bin"}, cwd="/", timeout=60, check=False)
    assert done.returncode == 0
    release = machine.releases(name)[0]["release"]
    assert (machine.project(name) / "data/ran").read_text() == f"at: {release} 100%\n"

    log = machine.project(name) / "data/log/app.log"
    log.parent.mkdir()
    log.write_text("words\n")
    rotated = run(["logrotate", "--force", "--state", str(machine.folder / "state"), str(rotation)])
    assert rotated.status == 0, rotated.said
    assert [path.name for path in sorted(log.parent.iterdir())] == ["app.log", "app.log.1"]

    before = cron.read_text()
    tree.commit({".salt/PILLAR.sample": "cron: []\nlogrotate: []\n", "public/index.html": "y"})
    machine.ok("mc_project.set_configuration", name, cron=[{"schedule": "61 * * * *", "command": "true"}])
    refused = tree.push()
    assert refused.status != 0
    assert "is no minute (0-59)" in refused.said
    assert cron.read_text() == before

    machine.ok("mc_project.set_configuration", name, cron=None, logrotate=None)
    assert tree.push().status == 0
    assert not cron.exists()
    assert not rotation.exists()
    machine.ok("mc_project.rollback", name)  # that version's own files ask for none, and its settings are gone
    machine.ok("mc_project.set_configuration", name, cron=jobs)
    assert machine.ok("mc_project.deploy_project", name)["result"] is True
    assert cron.exists()
    machine.ok("mc_project.destroy_project", name, confirm=name)
    assert not cron.exists()
