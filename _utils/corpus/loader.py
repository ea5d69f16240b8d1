"""Where Salt finds the doors of an installed corpus: the ``salt.loader`` entry point."""

from pathlib import Path

#: What Salt calls the folders that it loads from. In a checkout each has an underscore in front.
DOORS = ("modules", "states", "runners", "pillar", "clouds", "engines", "output")


def dirs() -> dict[str, list[str]]:
    """The doors that exist, by Salt's name for their kind."""
    rooms = Path(__file__).resolve().parent
    if rooms.parent.name == "_utils":  # a checkout, installed as editable
        homes = {door: rooms.parents[1] / f"_{door}" for door in DOORS}
    else:
        homes = {door: rooms / door for door in DOORS}
    return {door: [str(home)] for door, home in homes.items() if home.is_dir()}
