"""An account as one HTML page that needs nothing else: no script, no request, light and dark, wide, narrow, on paper."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

# The template is Python because Salt's sync of a pack carries Python files alone.
_TEMPLATE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>{{ a.name }}: {{ a.kind }} {{ 'succeeded' if a.succeeded else 'failed' }}, {{ a.when }}</title>
<style>
:root { --paper:#fff; --ground:#f4f5f7; --ink:#1b1f26; --soft:#59616e; --line:#d9dde3; --good:#14713d; --goodbg:#e3f4e9;
  --bad:#b3261e; --badbg:#fdeceb; --note:#7a5300; --notebg:#fdf3dc; --bar:#3b6fd4; --code:#f0f2f5 }
@media (prefers-color-scheme: dark) { :root { --paper:#1a1d23; --ground:#121418; --ink:#e7e9ed; --soft:#a3abb8;
  --line:#343a44; --good:#6fd397; --goodbg:#16301f; --bad:#ff958c; --badbg:#3a1b19; --note:#f1c56b; --notebg:#33290f;
  --bar:#7aa5ff; --code:#22262e } }
* { box-sizing:border-box }
body { margin:0; background:var(--ground); color:var(--ink); font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif }
main { max-width:60rem; margin:0 auto; padding:2rem 1.25rem 3rem }
section, header { background:var(--paper); border:1px solid var(--line); border-radius:.75rem; padding:1.25rem 1.5rem; margin:0 0 1.25rem }
header { border-top:.4rem solid var(--good) } .failed header { border-top-color:var(--bad) }
h1 { font-size:1.75rem; line-height:1.2; margin:.4rem 0 .5rem; letter-spacing:-.01em; overflow-wrap:anywhere }
h2 { font-size:1.1rem; margin:0 0 .75rem } h3 { font-size:1rem; margin:1rem 0 .4rem }
p { margin:.4rem 0; overflow-wrap:anywhere }
.badge { display:inline-block; font-weight:650; font-size:.9rem; padding:.1rem .7rem; border-radius:1rem; background:var(--goodbg); color:var(--good) }
.failed header .badge, .badge.bad { background:var(--badbg); color:var(--bad) }
.lead { font-size:1.1rem } .soft { color:var(--soft) } .small { font-size:.875rem }
dl { display:grid; grid-template-columns:repeat(auto-fit,minmax(13rem,1fr)); gap:.75rem 1.5rem; margin:1rem 0 0 }
dt { color:var(--soft); font-size:.8rem } dd { margin:0; overflow-wrap:anywhere }
code, pre, .mono { font-family:ui-monospace,"Cascadia Mono","DejaVu Sans Mono",Menlo,monospace; font-size:.85em }
pre { background:var(--code); border-radius:.5rem; padding:.8rem 1rem; overflow:auto; max-height:26rem; line-height:1.45; white-space:pre-wrap; overflow-wrap:anywhere; margin:.6rem 0 }
.trouble { border-color:var(--bad); border-left:.4rem solid var(--bad) } .trouble h2 { color:var(--bad) }
.notes { background:var(--notebg); border-color:transparent } .notes h2 { color:var(--note) } .notes ul { margin:0; padding-left:1.2rem }
table { width:100%; border-collapse:collapse } th { text-align:left; white-space:nowrap; color:var(--soft); font-weight:500; font-size:.8rem }
td, th { padding:.35rem .75rem .35rem 0; vertical-align:top; border-bottom:1px solid var(--line); overflow-wrap:anywhere }
tr:last-child td { border-bottom:0 } td.number, th.number { text-align:right; white-space:nowrap; font-variant-numeric:tabular-nums; padding-right:0; padding-left:.5rem }
.kind { white-space:nowrap; width:1%; color:var(--soft); font-size:.875rem }
.times { list-style:none; margin:0; padding:0 } .times li { display:grid; grid-template-columns:9.5rem 1fr 4.5rem; gap:.75rem; align-items:center; padding:.2rem 0 }
.track { position:relative; height:1.1rem; background:var(--code); border-radius:.25rem }
.track i { position:absolute; top:0; bottom:0; min-width:3px; background:var(--bar); border-radius:.25rem }
.bad .track i { background:repeating-linear-gradient(45deg,var(--bad) 0 6px,var(--badbg) 6px 9px) } .bad .name { color:var(--bad); font-weight:650 }
.times .number { text-align:right; font-variant-numeric:tabular-nums; font-size:.9rem; white-space:nowrap }
.axis { display:flex; justify-content:space-between; margin:.3rem 5.25rem .6rem 10.25rem; color:var(--soft); font-size:.75rem }
details { border-top:1px solid var(--line); padding:.5rem 0 } summary { cursor:pointer } summary:focus-visible { outline:2px solid var(--bar) }
footer { color:var(--soft); font-size:.8rem; overflow-wrap:anywhere }
@media (max-width:40rem) { dl { grid-template-columns:1fr 1fr } main { padding:.75rem .6rem 2rem } section, header { padding:1rem } h1 { font-size:1.4rem }
  .times li { grid-template-columns:1fr auto; gap:.1rem .5rem } .track { grid-column:1/-1; grid-row:2 } .axis { margin:.3rem 0 .6rem } .wide { display:none } }
@media print { body { background:#fff } main { max-width:none; padding:0 } section, header { break-inside:avoid; border-color:#999 }
  pre { max-height:none } i, .badge { -webkit-print-color-adjust:exact; print-color-adjust:exact } }
</style>
</head>
<body class="{{ 'good' if a.succeeded else 'failed' }}">
<main>
<header>
  <span class="badge">{{ '✓ Succeeded' if a.succeeded else '✗ Failed' }}</span> <span class="soft">{{ a.kind }} · {{ day }}</span>
  <h1>{{ a.name }}</h1>
  <p class="lead">{{ a.comment }}</p>
  {% if a.summary %}<p class="soft">{{ a.summary }}</p>{% endif %}
  <dl>
    <div><dt>By</dt><dd>{{ a.who }}</dd></div>
    <div><dt>Took</dt><dd>{{ '%.1f' % a.seconds }} seconds</dd></div>
    {% if a.revision %}<div><dt>Revision</dt><dd class="mono">{{ a.revision[:12] }}{% if a.previous_revision and a.previous_revision != a.revision %} <span class="soft">before: {{ a.previous_revision[:12] }}</span>{% endif %}</dd></div>{% endif %}
    {% if a.mode %}<div><dt>Mode</dt><dd>{{ a.mode }}</dd></div>{% endif %}
    <div><dt>{{ 'Running now' if a.succeeded else 'Still running' }}</dt><dd class="mono">{{ a.release or 'nothing yet' }}</dd></div>
    {% if a.url %}<div><dt>Address</dt><dd>{{ a.url }}</dd></div>{% endif %}
  </dl>
</header>
{% for stage in a.stages if stage.result is sameas false %}
<section class="trouble">
  <h2>✗ Stage {{ stage.stage }} failed</h2>
  <p>{{ stage.comment }}</p>
  {% for state in stage.states if state.result is sameas false %}<h3><code>{{ state.function }}</code> {{ state.id }}</h3><pre>{{ state.comment }}</pre>{% endfor %}
  {% if stage.excerpt %}<h3>The end of its log</h3><pre tabindex="0">{{ stage.excerpt | join('\\n') }}</pre>{% endif %}
</section>
{% endfor %}
{% if a.tests and not a.tests.good %}{{ tests() }}{% endif %}
{% if a.notes %}<section class="notes"><h2>Worth knowing</h2><ul>{% for note in a.notes %}<li>{{ note }}</li>{% endfor %}</ul></section>{% endif %}
<section>
  <h2>Time line</h2>
  <div class="axis" aria-hidden="true"><span>0 s</span><span>{{ '%.1f' % (a.seconds / 2) }} s</span><span>{{ '%.1f' % a.seconds }} s</span></div>
  <ol class="times">
  {% for stage in a.stages if stage.result is not none %}
    <li class="{{ 'bad' if stage.result is sameas false }}"><span class="name">{{ '✗ ' if stage.result is sameas false }}{{ stage.stage }}{{ ' (failed)' if stage.result is sameas false }}</span>
      <span class="track"><i style="left:{{ '%.2f' % [stage.began / whole * 100, 99.5] | min }}%;width:{{ '%.2f' % [stage.seconds / whole * 100, 100 - stage.began / whole * 100] | min }}%"></i></span>
      <span class="number">{{ '%.2f' % stage.seconds }} s</span></li>
  {% endfor %}
  </ol>
  {% set skipped = a.stages | selectattr('result', 'none') | list %}
  {% if skipped %}<p class="soft small">Skipped: {% for stage in skipped %}{{ stage.stage }} ({{ stage.comment }}){{ ', ' if not loop.last }}{% endfor %}</p>{% endif %}
</section>
{% if a.tests and a.tests.good %}{{ tests() }}{% endif %}
{% if a.commits and (a.commits.list or a.commits.left_list) %}
<section>
  <h2>{{ 'Commits' if not a.commits.first else 'Commits, the first deployment' }}</h2>
  {% if a.commits.rewritten %}<p class="soft">History was rewritten: these stand in the place of {{ a.commits.left }} others.</p>{% endif %}
  <table><thead><tr><th>Commit</th><th>Subject</th><th>Author</th></tr></thead><tbody>
  {% for commit in a.commits.list %}<tr><td class="kind mono">{{ commit.revision[:10] }}</td><td>{{ commit.subject }}</td><td class="kind">{{ commit.author }}</td></tr>{% endfor %}
  {% for commit in a.commits.left_list %}<tr><td class="kind mono">{{ commit.revision[:10] }}</td><td>taken back: <s>{{ commit.subject }}</s></td><td class="kind">{{ commit.author }}</td></tr>{% endfor %}
  </tbody></table>
  {% if a.commits.total > a.commits.list | length %}<p class="soft small">{{ 'More than ' if a.commits.more }}{{ a.commits.total }} in all.</p>{% endif %}
</section>
{% endif %}
{% if a.files and (a.files.list or a.files.total) %}
<section>
  <h2>Files</h2>
  <p class="soft">{% if a.files.total is not none %}{{ a.files.total }} files in the first tree.{% else %}{{ a.files.changed }} changed, {{ a.files.added }} added, {{ a.files.removed }} removed, {{ a.files.renamed }} renamed; {{ a.files.lines_added }} lines added, {{ a.files.lines_removed }} removed.{% endif %}{{ ' There are too many to compare all.' if not a.files.complete }}</p>
  {% if a.files.list %}<table><thead><tr><th>What</th><th>Path</th><th class="number">Lines</th></tr></thead><tbody>
  {% for file in a.files.list %}<tr><td class="kind">{{ file.change }}{{ ', built' if file.built }}</td><td class="mono">{{ file.before ~ ' → ' if file.before }}{{ file.path }}</td><td class="number">{% if file.lines %}+{{ file.lines[0] }} -{{ file.lines[1] }}{% endif %}</td></tr>{% endfor %}
  </tbody></table>{% endif %}
</section>
{% endif %}
{% if a.packages and a.packages.list %}
<section>
  <h2>Packages</h2>
  <p class="soft">{{ a.packages.added }} added, {{ a.packages.changed }} with another version, {{ a.packages.removed }} removed.</p>
  <table><thead><tr><th>Of</th><th>Package</th><th>Before</th><th>Now</th></tr></thead><tbody>
  {% for package in a.packages.list %}<tr><td class="kind">{{ package.kind }}</td><td>{{ package.name }}</td><td>{{ package.old or 'not there' }}</td><td>{{ package.new or 'removed' }}</td></tr>{% endfor %}
  </tbody></table>
</section>
{% endif %}
{% if a.services %}
<section>
  <h2>Services</h2>
  <table><thead><tr><th>Type</th><th>Before</th><th>Now</th></tr></thead><tbody>
  {% for change in a.services %}<tr><td>{{ change.type }}</td>{% for service in (change.old, change.new) %}<td>{% if service %}{{ service.count }} &times; <code>{{ service.command }}</code>{% else %}none{% endif %}</td>{% endfor %}</tr>{% endfor %}
  </tbody></table>
</section>
{% endif %}
{% set busy = a.stages | selectattr('states') | list %}
{% if busy %}
<section>
  <h2>States</h2>
  {% for stage in busy %}<details><summary>{{ stage.stage }}: {{ stage.total }} state{{ 's' if stage.total != 1 }}, {{ stage.changed }} changed</summary>
  <table><thead><tr><th>Result</th><th>State</th><th>Changes</th><th class="number">Seconds</th></tr></thead><tbody>
  {% for state in stage.states %}<tr><td class="kind">{{ '✗ failed' if state.result is sameas false else 'changed' if state.changes else 'as it was' }}</td><td><code>{{ state.function }}</code> {{ state.id }}</td><td class="small">{{ state.changes }}</td><td class="number">{{ '%.2f' % state.seconds }}</td></tr>{% endfor %}
  </tbody></table></details>{% endfor %}
</section>
{% endif %}
<footer>Deployment {{ a.deployment }} on {{ a.machine }}. {{ a.strategy }} Made by corpus {{ a.corpus }}.</footer>
</main>
</body>
</html>
"""

_TESTS = """\
<section class="{{ 'trouble' if not t.good }}">
  <h2>{{ '✗ ' if not t.good else '✓ ' }}Tests: {{ t.words }}</h2>
  {% for failure in t.failures %}<h3>✗ {{ failure.name }}</h3><p class="soft small">{{ failure.where }}</p><p>{{ failure.message }}</p>{% if failure.excerpt %}<pre tabindex="0">{{ failure.excerpt }}</pre>{% endif %}{% endfor %}
  <p class="soft small"><code>{{ t.command }}</code>, {{ '%.1f' % t.seconds }} seconds{{ '; not required' if not t.required }}.</p>
  {% if t.slowest %}<details><summary>The slowest</summary><table>{% for test in t.slowest %}<tr><td>{{ test.name }}</td><td class="number">{{ '%.2f' % test.seconds }} s</td></tr>{% endfor %}</table></details>{% endif %}
</section>
"""


def page(account: Mapping[str, Any]) -> str:
    """Return the report as a page. All that comes from outside is escaped."""
    import jinja2
    import markupsafe

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    tests = environment.from_string(_TESTS)

    def tests_section() -> markupsafe.Markup:
        return markupsafe.Markup(tests.render(t=account["tests"]))  # noqa: S704 - rendered with escaping, above

    when = datetime.strptime(account["when"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return environment.from_string(_TEMPLATE).render(
        a=account, tests=tests_section, whole=max(account["seconds"], 0.001), day=f"{when:%d %B %Y, %H:%M} UTC"
    )
