"""Containers: names, settings, what is written into a root file system."""

import os
from pathlib import Path

import pytest
from corpus.errors import CorpusError, UsageError
from corpus.node import ids, names, storage
from corpus.node.containers import Container, Root, Specification, configuration
from corpus.node.traffic import ports


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a.b", "a/b", "..", "a" * 64, "a\n", 3, None])
def test_names_that_are_none(name: object) -> None:
    with pytest.raises(UsageError):
        names.container(name)


@pytest.mark.parametrize("name", ["a", "0", "web-1", "a" * 63])
def test_names(name: str) -> None:
    assert names.container(name) == name


@pytest.mark.parametrize(
    "settings",
    [
        {"address": "10.0.0.1"},
        {"address": "fd00::1/64"},
        {"address6": "10.0.0.1/24"},
        {"gateway": "10.0.0.1\nlxc.hook.start = /bin/x"},
        {"bridge": "a b"},
        {"bridge": "x" * 16},
        {"memory": "1G"},
        {"memory": -1},
        {"size": True},
        {"cpus": 0},
        {"cpus": "2"},
        {"unprivileged": "no"},
    ],
)
def test_settings_that_cannot_be(settings: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Specification("web", "base-1", **settings)  # type: ignore[arg-type]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    (made / "run").mkdir(parents=True)
    (made / "var").mkdir()
    (made / "var").chmod(0o751)
    (made / "var/run").symlink_to("/run")
    (made / "out").symlink_to("../../../../../../" + str(tmp_path / "outside"))
    (made / "loop").symlink_to("loop/x")
    (made / "file").symlink_to(tmp_path / "secret")
    return made


def test_no_link_leads_out_of_a_root_file_system(root: Path, tmp_path: Path) -> None:
    Root([root]).write("/var/run/a/b", "text", 0o600)
    assert (root / "run/a/b").read_text() == "text"
    assert (root / "run/a/b").stat().st_mode & 0o777 == 0o600
    Root([root]).write("/out/passwd", "text", 0o600)
    assert not (tmp_path / "outside").exists()
    Root([root]).write("/file", "text", 0o600)
    assert not (tmp_path / "secret").exists()
    with pytest.raises(CorpusError, match="too many links"):
        Root([root]).write("/loop/a", "text", 0o600)


@pytest.mark.parametrize("path", ["a", "/../a", "/a/../../b", "/a/", "/", "/a\0b", None])
def test_paths_that_are_none(root: Path, path: str) -> None:
    with pytest.raises(UsageError):
        Root([root]).write(path, "text", 0o600)


def test_layers(root: Path, tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    upper.mkdir()
    Root([upper, root]).write("/var/run/a", "text", 0o600)
    Root([upper, root]).write("/var/lib/b", "text", 0o600)
    assert (upper / "run/a").read_text() == "text"
    assert (upper / "var").stat().st_mode & 0o777 == 0o751
    assert not (root / "run/a").exists()


def test_ids_of_unprivileged_containers(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"gives root no 65536 ids\. Add a line such as root:"):
        ids.idmap(tmp_path)
    (tmp_path / "subuid").write_text("ada:1:65536\nroot:5:10\nroot:100000:65536\n")
    (tmp_path / "subgid").write_text("root:200000:65536\n")
    assert ids.idmap(tmp_path) == (100000, 200000)


def test_root_gets_ids_that_nobody_else_has(tmp_path: Path) -> None:
    (tmp_path / "subuid").write_text("ada:1000000000:65536\nbob:1000065536:65536\nroot:5:10")
    planned = ids.give(tmp_path, test=True)
    assert not (tmp_path / "subgid").exists()
    assert ids.give(tmp_path) == planned
    assert ids.idmap(tmp_path) == (1000131072, 1000000000)
    assert (tmp_path / "subuid").read_text().splitlines()[2:] == ["root:5:10", "root:1000131072:65536"]
    assert ids.give(tmp_path) == []


def test_a_folder_that_lets_nobody_through_hinders_unprivileged_containers(tmp_path: Path) -> None:
    ids.give(tmp_path)
    (tmp_path / "closed/pool").mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    found = ids.hindrance(tmp_path / "closed/pool", tmp_path)
    assert found is not None
    assert "lets nobody through" in found
    assert "root has no range of 65536 ids" in str(ids.hindrance(tmp_path, tmp_path / "nothing"))


@pytest.mark.parametrize("driver", ["directory", "overlay"])
def test_configuration(tmp_path: Path, driver: str) -> None:
    for name in ("containers", "images"):
        (tmp_path / name).mkdir()
    pool = storage.Pool(tmp_path, storage.DRIVERS[driver](tmp_path))
    wish = Specification("web", "base-1", address="10.0.0.2/24", gateway="10.0.0.1", memory=1 << 30, running=True)
    text = configuration(Container(pool, "web"), wish)
    rows = dict(line.split(" = ") for line in text.splitlines() if " = " in line)
    assert rows["lxc.uts.name"] == "web"
    assert rows["lxc.start.auto"] == "1"
    assert rows["lxc.net.0.ipv4.address"] == "10.0.0.2/24"
    assert rows["lxc.net.0.hwaddr"].startswith("02:")
    assert rows["lxc.net.0.veth.pair"] == ports.named(tmp_path, "web")
    assert str(1 << 30) in rows.values()
    lower = f"overlay:{tmp_path}/images/base-1:" if driver == "overlay" else "dir:"
    assert rows["lxc.rootfs.path"] == f"{lower}{tmp_path}/containers/web/rootfs"


def test_an_image_and_a_pool(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("owners are kept by root alone")
    with pytest.raises(CorpusError, match="There is no pool at"):
        storage.Pool.open(tmp_path / "pool")
    assert storage.initialize(tmp_path / "pool", "directory", boot=False, test=True)[0] is None
    assert not (tmp_path / "pool").exists()
    pool, done = storage.initialize(tmp_path / "pool", "directory", etc=tmp_path)
    assert pool is not None
    assert done == [f"a directory pool at {tmp_path}/pool"]
    assert storage.initialize(tmp_path / "pool", "directory", etc=tmp_path)[1] == []
    with pytest.raises(UsageError, match="has the driver directory, which cannot be changed"):
        storage.initialize(tmp_path / "pool", "overlay", etc=tmp_path)
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("a")
    pool.import_image(source, "guest", "1-b")
    assert pool.image("guest") == pool.image("guest-1-b")
    assert list(pool.list_images()) == ["guest-1-b"]
    assert list(pool.half.iterdir()) == []
    with pytest.raises(UsageError):
        pool.import_image(source, "../guest", "1")
