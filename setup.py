"""Which folder of the checkout becomes which package; everything else stands in pyproject.toml."""

from pathlib import Path

CHECKOUT = Path(__file__).parent


def _doors() -> dict[str, str]:
    """Each folder that Salt loads from, by its package: ``{"corpus.modules": "_modules"}``."""
    folders = sorted(folder.name for folder in CHECKOUT.glob("_[a-z]*") if folder.is_dir())
    return {f"corpus.{folder[1:]}": folder for folder in folders if folder != "_utils"}


def _files(tree: Path) -> list[str]:
    """Every file below the tree, hidden ones too, as paths relative to it."""
    return sorted(str(file.relative_to(tree)) for file in tree.rglob("*") if file.is_file())


# A minion with `module_dirs: [<checkout>]` takes this file for an execution module and imports it:
# then it must do nothing, and its underscored functions are not offered.
if __name__ == "__main__":
    from setuptools import find_packages, setup

    setup(
        packages=[*find_packages("_utils"), *_doors(), "corpus.projects", "corpus.state_tree"],
        package_dir={"corpus": "_utils/corpus", "corpus.projects": "projects", "corpus.state_tree": "salt", **_doors()},
        package_data={
            "corpus.projects": _files(CHECKOUT / "projects"),
            "corpus.state_tree": _files(CHECKOUT / "salt"),
            "corpus.web": ["static/*", "templates/*"],
        },
    )
