"""What doors return, as text for a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from corpus.project.telling import figures

_SHOWN = 8
_MARKS = {True: ("ok", "GREEN"), False: ("FAILED", "LIGHT_RED"), None: ("-", "DARK_GRAY")}


def rendered(value: Any, colors: Mapping[str, Any], seen: bool = False) -> str:
    """Return a report, a list of releases or of past deployments, or anything else, as text.

    :param colors: escape sequences by name (Salt's); empty texts where colours are off
    :param seen: the stages of a report were shown already, as they went
    """
    if isinstance(value, Mapping) and str(value.get("schema", "")).startswith("corpus."):
        return _raw(value)
    if isinstance(value, Mapping) and "stages" in value:
        return f"{value['name']}: {value['deployment']}" if seen else _report(value, colors)
    if isinstance(value, Mapping) and {"status", "output"} <= set(value):  # of a one-off process
        return str(value["comment"] if seen or not value["output"] else f"{value['output']}\n{value['comment']}")
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        if "pid" in value[0]:
            return _roster(value, colors)
        return _history(value, colors) if "stages" in value[0] else _releases(value, colors)
    if isinstance(value, Mapping) and "result" in value:
        return _result(value, colors)
    return str(value) if value else "none"


def _raw(value: Mapping[str, Any]) -> str:
    """Return statistics as a table, and a report that was asked for as JSON as JSON."""
    if value["schema"] == figures.SCHEMA:
        return figures.table(value["projects"])
    return json.dumps(value, indent=1, ensure_ascii=False)


def say(line: str) -> None:
    """Print a line at once, for a person who watches; what a terminal would take for a command is shown."""
    sys.stdout.write("".join(sign if sign.isprintable() or sign == "\t" else repr(sign)[1:-1] for sign in line) + "\n")
    sys.stdout.flush()


def _colored(text: str, color: str, colors: Mapping[str, Any]) -> str:
    return f"{colors.get(color, '')}{text}{colors.get('ENDC', '')}"


def _report(report: Mapping[str, Any], colors: Mapping[str, Any]) -> str:
    rows = [f"{report['name']}: {report.get('kind', '')} {report['deployment']}"]
    for name, stage in report["stages"].items():
        mark, color = _MARKS[stage["result"]]
        seconds = f"{stage['seconds']:8.2f} s" if stage["result"] is not None else " " * 10
        words = (stage["comment"] or "").splitlines() or [""]
        rows.append(f"  {_colored(f'{mark:<6}', color, colors)} {name:<14} {seconds}  {words[0]}".rstrip())
        rows += [" " * 36 + word for word in words[1:]]
    rows += [_colored(f"  note: {note}", "YELLOW", colors) for note in report.get("notes") or ()]
    _, color = _MARKS[report["result"]]
    planned = report["result"] and report.get("kind") == "plan"
    rows.append(_colored(report["comment"], "CYAN" if planned else color, colors))
    return "\n".join(rows)


def _result(report: Mapping[str, Any], colors: Mapping[str, Any]) -> str:
    _, color = _MARKS[report["result"]]
    rows = [_colored(str(report.get("comment", "")), color, colors)]
    for key, change in (report.get("changes") or {}).items():
        if isinstance(change, list):
            rows += [f"  {key}: {one}" for one in change[:_SHOWN]]
            rows += [f"  {key}: {len(change) - _SHOWN} more (--out json has them all)"] if len(change) > _SHOWN else []
        elif isinstance(change, Mapping) and set(change) == {"old", "new"}:
            rows.append(f"  {key}: {change['old']!r} -> {change['new']!r}")
        else:
            rows.append(f"  {key}: {change}")
    rows += [f"  {kind:<8} {address}" for kind, address in (report.get("remotes") or {}).items()]
    return "\n".join(rows)


def _history(records: list[Mapping[str, Any]], colors: Mapping[str, Any]) -> str:
    rows = [f"{'deployment':<26}{'what':<10}{'result':<8}{'revision':<12}{'seconds':>8}  {'by':<20} in words"]
    for record in records:
        mark, color = _MARKS[record["result"]]
        rows.append(
            f"{record['deployment']:<26}{record['kind']:<10}{_colored(f'{mark:<8}', color, colors)}"
            f"{(record['revision'] or '-')[:10]:<12}{record['seconds']:8.1f}  {record['who'][:20]:<20} {record['comment']}"
        )
    return "\n".join(rows)


def _roster(rows: list[Mapping[str, Any]], colors: Mapping[str, Any]) -> str:
    lines = [
        f"{'process':<16}{'state':<10}{'pid':>8} {'since':<22}{'memory':>10}{'cpu':>8}{'port':>7}  {'release':<26}"
    ]
    for row in rows:
        color = "GREEN" if row["state"] == "RUNNING" else "LIGHT_RED"
        name = f"{row['type']}.{row['number']}"
        memory = f"{row['memory'] / (1 << 20):.1f} MiB" if row["memory"] is not None else "-"
        cpu = f"{row['cpu']:.1f} %" if row["cpu"] is not None else "-"
        state = _colored(f"{row['state']:<10}", color, colors)
        lines.append(
            f"{name:<16}{state}{row['pid'] or '-':>8} {row['since'] or '-':<22}{memory:>10}{cpu:>8}"
            f"{row['port'] or '-':>7}  {row['release']:<26}{'' if row['state'] == 'RUNNING' else row['words']}".rstrip()
        )
    return "\n".join(lines)


def _releases(entries: list[Mapping[str, Any]], colors: Mapping[str, Any]) -> str:
    rows = [f"{'release':<26}{'revision':<12}{'when':<22}{'kept as':<9} artifacts"]
    for entry in entries:
        row = f"{entry['release']:<26}{(entry['revision'] or '-')[:10]:<12}{entry['when'] or '-':<22}{entry['kept'] or '-':<9} "
        row += ", ".join(entry["artifacts"])
        rows.append(_colored(row.rstrip(), "GREEN" if entry["running"] else "", colors))
    return "\n".join(rows)
