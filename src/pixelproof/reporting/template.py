"""The page of the report, as a Jinja template that escapes what it is given."""
# ruff: noqa: E501

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>pixelproof report</title>
<style>
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --paper: #fff; --card: #f6f8fa;
  --line: #d1d9e0; --good: #1a7f37; --bad: #b42318; --none: #6e7781; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --paper: #0d1117;
  --card: #161b22; --line: #30363d; --good: #3fb950; --bad: #f85149; --none: #8b949e; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1.5rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1rem; color: var(--soft); font-weight: 600; margin: 0 0 .5rem; }
h2 { margin: 2.5rem 0 .5rem; font-size: 1.3rem; }
h3 { margin: 1.8rem 0 .2rem; font-size: 1.05rem; }
.verdict { font-size: 1.35rem; line-height: 1.4; margin: 0 0 1rem; padding-left: 1rem;
  border-left: .35rem solid var(--line); }
.verdict.take { border-color: var(--good); } .verdict.do-not-take { border-color: var(--bad); }
.soft { color: var(--soft); margin: .2rem 0 .6rem; }
.card, figure { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 1rem; margin: 1rem 0; }
figure { overflow-x: auto; }
figure svg { display: block; width: 100%; height: auto; max-width: 60rem; min-width: 34rem;
  margin: 0 auto; }
.hero svg { max-width: 44rem; min-width: 0; }
a { color: inherit; } code { overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem .7rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
.claims td:nth-child(4) { min-width: 16rem; }
.badge { display: inline-block; padding: 0 .5rem; border-radius: 1rem; border: 1px solid;
  white-space: nowrap; font-size: .8rem; font-weight: 600; }
.reproduced { color: var(--good); } .not-reproduced { color: var(--bad); }
.not-comparable { color: var(--none); }
.flip { max-width: 60rem; margin: 1rem auto; } .flip p { margin: .3rem 0; font-size: .85rem; overflow-wrap: anywhere; }
.pair { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); }
.pair svg { display: block; width: 100%; height: auto; border-radius: 4px; } .pair image { image-rendering: pixelated; }
.frames { fill: none; stroke: #ff2828; stroke-width: 2px; vector-effect: non-scaling-stroke; }
.steps li { margin: .5rem 0; } .steps code { display: block; background: var(--card); padding: .3rem .6rem;
  border: 1px solid var(--line); border-radius: 4px; font-size: .85rem; }
summary { cursor: pointer; color: var(--soft); }
.said { white-space: nowrap; } .wrong { color: var(--bad); font-weight: 600; }
pre { overflow-x: auto; font-size: .8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
@media print { :root { --ink: #1b1f24; --soft: #59636e; --paper: #fff; --card: #fff; --line: #d1d9e0; }
  body { max-width: none; padding: 0; font-size: 13px; } .wide, figure { overflow: visible; }
  table { font-size: .75rem; } th { white-space: normal; } h2, h3 { break-after: avoid; }
  figure svg { min-width: 0; } .card, figure, tr { break-inside: avoid; } }
@media (max-width: 40rem) { body { padding: 1rem; } .verdict { font-size: 1.1rem; }
  .figures td + td { min-width: 6rem; } .claims thead { display: none; } .claims tr { display: block; padding: .6rem 0;
  border-bottom: 1px solid var(--line); } .claims td { display: block; border: 0;
  padding: .1rem 0; } .claims td:first-child { font-weight: 600; font-size: 1rem; }
  .claims td[data-label]::before { content: attr(data-label) ": "; color: var(--soft); } }
</style>
</head>
<body>
<h1>pixelproof · robustness to changed pixels</h1>
"""

FAILED = (
    _HEAD
    + """<p class="verdict">There is no result: {{ reason }}.</p>
</body>
</html>
"""
)

PICTURES = """{% macro picture(one, address, frames, words) %}
<div><svg viewBox="0 0 {{ one.side }} {{ one.side }}" role="img" aria-label="{{ words }}">
<image href="{{ address }}" width="{{ one.side }}" height="{{ one.side }}"/>
{% if frames %}<path class="frames" d="{{ frames }}"/>{% endif %}</svg><p>{{ words }}</p></div>
{% endmacro %}
{% macro flip(one) %}
<div class="card flip"><p>{{ one.path }}</p>
<div class="pair">{{ picture(one, one.original, "", "unchanged") }}{{ picture(one, one.changed, one.frames, "changed: the framed pixels") }}</div>
<p>All models say <b>{{ one.label }}</b> of the unchanged image; then:
{% for model, said in one.said.items() %}
<span class="said {{ 'wrong' if said != one.label }}">{{ model }} {{ said }}</span>{{ "" if loop.last else " · " }}
{% endfor %}</p></div>
{% endmacro %}
"""

PAGE = (
    PICTURES
    + _HEAD
    + """{% if answers %}
<p class="verdict {{ answers[0].answer | slug }}">{{ answers[0].sentence }}</p>
{% if answers | length > 1 %}
<details><summary>The other hardened models ({{ answers | length - 1 }})</summary>
{% for one in answers[1:] %}<p>{{ one.sentence }}</p>
{% endfor %}</details>
{% endif %}
{% else %}
<p class="verdict">{{ verdict }}</p>
{% endif %}
<p class="soft">Result <code>{{ result }}</code>: {{ made_from }}. <code>pixelproof show</code> names its commit
and date, and says so where the project has moved on.</p>
<figure class="hero">{{ hero | safe }}
<figcaption class="soft">With {{ reference }}, on the
{{ summary.common_images }} of {{ summary.held_out_images }} held-out images that every model classifies
right unchanged. {{ left_out }}
</figcaption></figure>
<p class="soft">{{ sensor }} These are statements about these trained models, one training seed each,
not about the method in general. Take or not is said by the gate's margins on these images;
<code>pixelproof gate</code> asks anew, on fresh draws.</p>

<h2>Images that flip</h2>
<p class="soft">Unchanged, and with the fewest changed pixels, framed in red, that flip the first original; below, what
each model says then.</p>
{% for one in gallery[:3] %}{{ flip(one) }}{% else %}
<p>No image flipped under the first original.</p>
{% endfor %}
{% if gallery | length > 3 %}
<details><summary>{{ gallery | length - 3 }} more</summary>
{% for one in gallery[3:] %}{{ flip(one) }}{% endfor %}
</details>
{% endif %}

<h2>Flips by direction</h2>
<p class="soft">With {{ reference }}: flips, of the common images of the true class and all draws; what
is left is the recall under changed pixels, to be read beside that of the unchanged images above.</p>
<div class="wide"><table><thead><tr><th>true class</th><th>taken for</th><th></th>
{% for model in summary.models %}<th>{{ model }}</th>{% endfor %}</tr></thead><tbody>
{% for one in flips %}
<tr><td>{{ one.label }}</td><td>{{ one.prediction }}</td>
<td>{% if one.kind %}<span class="badge {{ 'not-reproduced' if one.kind == 'missed defect' }}">{{ one.kind }}</span>{% endif %}</td>
{% for cell in one.cells %}<td>{{ cell }}</td>{% endfor %}</tr>
{% else %}
<tr><td colspan="9">No prediction flipped.</td></tr>
{% endfor %}
</tbody></table></div>

<h2>What to do next</h2>
<ol class="steps">
{% for one in steps %}
<li>{{ one.words }}<code>{{ one.command }}</code></li>
{% endfor %}
</ol>

<h2>Results</h2>
{% for table in tables %}
{% if table.rows %}
<h3>{{ table.title }}</h3>
<p class="soft">{{ table.note }}</p>
<div class="wide"><table class="figures"><thead><tr>{% for one in table.head %}<th>{{ one }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in table.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% endif %}
{% endfor %}

<h2>Curves</h2>
<figure>{{ figures | safe }}</figure>
{% if distances %}
<figure>{{ distances | safe }}</figure>
{% endif %}

{% if regressed %}
<h2>Which images regressed</h2>
<div class="wide"><table><thead><tr><th>model</th><th>flip less often than under the original</th>
<th>flip more often</th><th>the worst of these</th></tr></thead><tbody>
{% for one in regressed %}
<tr><td>{{ one.model }}</td><td>{{ one.better }}</td><td>{{ one.worse }}</td>
<td>{{ one.names | join(", ") or "-" }}</td></tr>
{% endfor %}
</tbody></table></div>
{% endif %}

<h2>The paper's claims, tested here</h2>
<div class="wide"><table class="claims"><thead><tr><th>claim</th><th>here</th><th>the paper</th>
<th>found</th><th>test</th></tr></thead><tbody>
{% for one in claims %}
<tr><td>{{ one.words }}</td><td><span class="badge {{ one.status | slug }}">{{ one.status }}</span></td>
<td data-label="The paper">{{ one.paper }}</td><td data-label="Found">{{ one.found or "-" }}</td>
<td data-label="Test">{{ one.reason }}</td></tr>
{% endfor %}
</tbody></table></div>

<h2>How this was made</h2>
<p>{{ manifest.found }} images found; {{ manifest.quarantined | length }} quarantined as unreadable,
{{ manifest.duplicates | length }} duplicates left out. Held-out images by class:
{% for name, count in manifest.splits.held_out.by_class.items() %}{{ name }} {{ count }}{{ "." if loop.last else ", " }}
{% if loop.index == 12 and not loop.last %}….{% break %}{% endif %}
{% endfor %}
SHA-256 of the held-out array: <code>{{ manifest.splits.held_out.sha256 }}</code>.</p>
<p>{% for name, number in versions.items() %}{{ name }} {{ number }}{{ "" if loop.last else " · " }}{% endfor %}.
Every figure is in <code>metrics/results.csv</code>.</p>
<p>In <a href="http://127.0.0.1:5000">MLflow</a> (after <code>make ui</code>) this page is an artifact of the
pipeline's run, and each model has a run of its own.</p>
<details><summary>Weights (SHA-256)</summary><div class="wide"><table><tbody>
{% for name, digest in summary.made_from.weights.items() %}<tr><td>{{ name }}</td><td><code>{{ digest }}</code></td></tr>
{% endfor %}
</tbody></table></div></details>
<details><summary>Parameters</summary><pre>{{ params | tojson(indent=1) }}</pre></details>
</body>
</html>
"""
)
