#!/usr/bin/env python3
"""What run.sh has measured, as data (JSON), tables (Markdown) and plots (SVG).

Usage: report.py WORK FIGURES OUT: reads WORK/{runs.ndjson,machine.tsv,peers.tsv,loads.tsv} and the
table of figures, writes OUT.json, OUT.md, OUT-rates.svg, OUT-latency.svg. Only the standard library.
"""
import json
import statistics
import sys
from html import escape
from math import log10

PERCENTILES = [("p50_us", "p50"), ("p90_us", "p90"), ("p99_us", "p99"), ("p99_9_us", "p99.9"), ("max_us", "max")]
COLOURS = ["#0b7285", "#e8590c", "#5f3dc4", "#2b8a3e", "#c2255c", "#868e96", "#a9761b"]


def rows_of(path):
    with open(path, encoding="utf-8") as file:
        return [line.rstrip("\n").split("\t") for line in file if line.strip() and line[0] != "#"]


class Results:
    """The runs, by load, peer and round."""

    def __init__(self, work):
        self.machine = dict(rows_of(f"{work}/machine.tsv"))
        self.peers = [dict(zip(("name", "version", "about", "command", "skipped"), row + [""] * 5))
                      for row in rows_of(f"{work}/peers.tsv")]
        self.loads = [dict(zip(("name", "title", "arguments"), row)) for row in rows_of(f"{work}/loads.tsv")]
        with open(f"{work}/runs.ndjson", encoding="utf-8") as file:
            self.runs = [json.loads(line) for line in file]

    def peers_of(self, load):
        return list(dict.fromkeys(run["peer"] for run in self.runs if run["load"] == load))

    def values(self, load, peer, measure):
        """One value a round."""
        return {run["round"]: run[measure] for run in self.runs if run["load"] == load and run["peer"] == peer}

    def median(self, load, peer, measure):
        return statistics.median(self.values(load, peer, measure).values())

    def compared(self, load, measure, ours, theirs, sign):
        """One number a round: a ratio, a difference ("-"), or ours as it is ("=")."""
        mine, other = self.values(load, ours, measure), self.values(load, theirs, measure)
        if sign == "=":
            return list(mine.values())
        rounds = sorted(mine.keys() & other.keys())
        if sign == "-":
            return [mine[r] - other[r] for r in rounds]
        return [mine[r] / other[r] for r in rounds if other[r]]


def number(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def spread(values):
    return f"{number(statistics.median(values))} ({number(min(values))}..{number(max(values))})"


def judge(results, rows):
    figures = []
    for load, measure, ours, theirs, sign, bound, words in rows:
        values = results.compared(load, measure, ours, theirs, sign)
        if not values:
            continue
        median = statistics.median(values)
        met = median >= float(bound) if sign == ">" else median <= float(bound)
        figures.append({"load": load, "measure": measure, "ours": ours, "theirs": theirs, "sign": sign,
                        "bound": float(bound), "words": words, "median": median, "min": min(values),
                        "max": max(values), "met": met})
    return figures


# ---------------------------------------------------------------- Markdown

def markdown_figures(figures):
    yield "| figure | wanted | median | min..max | |"
    yield "|---|---:|---:|---:|---|"
    for f in figures:
        wanted = f"{'≥' if f['sign'] == '>' else '≤'} {f['bound']:g}"
        yield (f"| {f['words']} | {wanted} | {number(f['median'])} | {number(f['min'])}..{number(f['max'])} "
               f"| {'met' if f['met'] else 'short'} |")


def markdown_load(results, load):
    name = load["name"]
    peers = results.peers_of(name)
    base = peers[0]
    yield f"\n### {load['title']}\n"
    yield f"`{name}`: `{load['arguments'] or 'defaults'}`; ratios are of {base}'s requests a second, round by round.\n"
    yield f"| peer | requests/s | of {base}'s (min..max) | CPU µs a request | " + \
        " | ".join(label for _, label in PERCENTILES) + " (ms) |"
    yield "|---|---:|---:|---:|" + "---:|" * len(PERCENTILES)
    for peer in peers:
        ratios = results.compared(name, "rate", peer, base, ">")
        times = " | ".join(f"{results.median(name, peer, key) / 1000:.2f}" for key, _ in PERCENTILES)
        cpu = results.median(name, peer, "server_cpu_us")
        yield (f"| {peer} | {results.median(name, peer, 'rate'):,.0f} | {spread(ratios)} | "
               f"{f'{cpu:.2f}' if cpu else '-'} | {times} |")


def markdown(results, figures, name):
    machine = results.machine
    yield f"# Benchmark: {name}\n"
    yield "Written by `bench/report.py`; [docs/PERFORMANCE.md](../../docs/PERFORMANCE.md) says how to read it.\n"
    for key, value in machine.items():
        yield f"- {key.replace('_', ' ')}: {value}"
    yield "\n## Figures\n"
    yield from markdown_figures(figures)
    yield f"\n![requests a second]({name}-rates.svg)\n\n![latency]({name}-latency.svg)\n\n## Peers\n"
    yield "| peer | version | what | started as |"
    yield "|---|---|---|---|"
    for peer in results.peers:
        started = f"left out: {peer['skipped']}" if peer["skipped"] else f"`{peer['command']}`"
        yield f"| {peer['name']} | {peer['version']} | {peer['about']} | {started} |"
    yield "\n## Loads"
    for load in results.loads:
        if results.peers_of(load["name"]):
            yield from markdown_load(results, load)


# ---------------------------------------------------------------- SVG

def svg(width, height, lines):
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                      f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
                      f'<rect width="{width}" height="{height}" fill="white"/>', *lines, "</svg>", ""])


def text(x, y, words, anchor="start", weight="normal"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(words)}</text>'


def plot_rates(results):
    """A bar for each peer of each load: its requests a second as a share of cairn's, with the spread."""
    lines, y, left, scale = [], 30, 170, 160
    for load in results.loads:
        peers = results.peers_of(load["name"])
        if not peers:
            continue
        ours = next((p for p in peers if p.startswith("cairn")), peers[0])
        lines.append(text(10, y, f"{load['title']} ({ours} = 1)", weight="bold"))
        for peer in peers:
            y += 18
            ratios = results.compared(load["name"], "rate", peer, ours, ">")
            median, shown = statistics.median(ratios), min(statistics.median(ratios), 3)
            colour = COLOURS[0] if peer.startswith("cairn") else "#adb5bd"
            lines.append(text(left - 8, y + 4, peer, "end"))
            lines.append(f'<rect x="{left}" y="{y - 7}" width="{shown * scale:.1f}" height="13" fill="{colour}"/>')
            low, high = (min(max(v, 0), 3.2) * scale + left for v in (min(ratios), max(ratios)))
            lines.append(f'<path d="M{low:.1f} {y - 3}v6M{low:.1f} {y}H{high:.1f}M{high:.1f} {y - 3}v6" stroke="black"/>')
            lines.append(text(max(left + shown * scale, high) + 8, y + 4,
                              f"{median:.2f}  ({results.median(load['name'], peer, 'rate'):,.0f}/s)"))
        y += 34
    return svg(900, y, lines)


def plot_latency(results):
    """The percentiles of the loads by the clock, one chart each, logarithmic."""
    lines, top = [], 0
    for load in results.loads:
        peers = results.peers_of(load["name"])
        if not peers or "--rate" not in load["arguments"]:
            continue
        lines.append(text(10, top + 20, load["title"], weight="bold"))
        for exponent in range(1, 7):
            y = top + 240 - exponent * 34
            lines.append(f'<path d="M70 {y}H640" stroke="#dee2e6"/>')
            lines.append(text(62, y + 4, f"{10 ** exponent / 1000:g} ms", "end"))
        for i, (_, label) in enumerate(PERCENTILES):
            lines.append(text(110 + i * 120, top + 256, label, "middle"))
        for n, peer in enumerate(peers):
            points = [(110 + i * 120, top + 240 - 34 * max(log10(max(results.median(load["name"], peer, key), 1)), 0))
                      for i, (key, _) in enumerate(PERCENTILES)]
            colour = COLOURS[n % len(COLOURS)]
            lines.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="'
                         + " ".join(f"{x:.1f},{y:.1f}" for x, y in points) + '"/>')
            lines.append(f'<rect x="660" y="{top + 50 + n * 20}" width="12" height="12" fill="{colour}"/>')
            lines.append(text(680, top + 61 + n * 20, peer))
        top += 290
    return svg(860, max(top, 20), lines)


def main():
    work, figures_path, out = sys.argv[1:4]
    results = Results(work)
    figures = judge(results, rows_of(figures_path))
    name = out.rsplit("/", 1)[-1]
    files = {
        ".json": json.dumps({"machine": results.machine, "peers": results.peers, "loads": results.loads,
                             "figures": figures, "runs": results.runs}, indent=1) + "\n",
        ".md": "\n".join(markdown(results, figures, name)) + "\n",
        "-rates.svg": plot_rates(results),
        "-latency.svg": plot_latency(results),
    }
    for suffix, content in files.items():
        with open(out + suffix, "w", encoding="utf-8") as file:
            file.write(content)
    print("\n" + "\n".join(markdown_figures(figures)))
    print(f"\nsee {out}.md")


if __name__ == "__main__":
    main()
