
// Latency over time: columns by when a request was due, rows by how long it took.
function heat(run, name, group) {
  const used = run.report.over_time.columns.flatMap(({ latency }) => latency.map(([bucket]) => bucket));
  const [low, high] = reach(used, run.edges);
  const { failed, unanswered } = run.report;
  const bands = [["failed", failed, "failed", "f-bad"], ["unanswered", unanswered, "no answer", "f-gone"]].filter(([, times]) => times > 0);
  const draw = (width) => {
    const top = 8 + bands.length * 20;
    const area = room(width, top + (used.length ? (isSlim(width) ? 220 : 300) : 34) + 26, { top, left: 66 });
    const { list, span } = columnsOf(run, area.inner / 4);
    const by = Math.max(1, Math.ceil((high - low) / ((area.bottom - area.top) / 6)));
    const rows = Math.ceil((high - low) / by);
    const tall = (area.bottom - area.top) / rows;
    const up = (bucket) => area.bottom - ((bucket - low) / by) * tall;
    const sides = sidesOf(list, span, area);
    const cells = list.map(({ latency }) => rowsOf(latency, low, by));
    const most = Math.max(1, ...cells.flatMap((sums) => [...sums.values()]));
    const marks = powers(edge(run, low), edge(run, high), (area.bottom - area.top) / 34).map((ms) => [up(place(run, ms)), tickTime(ms)]);
    const around = (at, y, height) => svg("rect", { x: sides[at][0] - 0.5, y, width: Math.max(2, sides[at][1] - sides[at][0]) + 1, height, class: "cursor" });
    return {
      width, height: area.height, list, span, most, low, by, rows, cells, run,
      node: [
        used.length ? upAxis(area, marks) : label(area.left + 8, area.bottom - 13, "", "Nothing was answered."),
        shades(cells, sides, area, tall, most),
        bands.map(([what, , words, kind], at) => band(area, 6 + at * 20, list, sides, what, words, kind)),
        timeAxis(area, span),
      ],
      stops: sides.map(([left, right]) => (left + right) / 2),
      row: (y) => (y < area.top || y >= area.bottom || !used.length ? null : Math.floor((area.bottom - y) / tall)),
      marks: (at, row) => [around(at, 2, area.bottom - 2), row !== null && around(at, area.bottom - (row + 1) * tall, tall)],
    };
  };
  return chart({
    title: `Latency over time${name}`,
    about: run.report.loop === "open" ? "by when each request was due" : "by when each request went",
    group, draw, says: heatSays,
    spoken: "Each column is a time of the run, each row a latency; the stronger a cell, the more requests.",
  });
}

// Two octaves at least, or equal latencies would be a wall.
function reach(used, edges) {
  const end = edges.from + edges.ms.length - 1;
  if (!used.length) return [edges.from, end];
  const low = used.reduce((a, b) => Math.min(a, b));
  const high = used.reduce((a, b) => Math.max(a, b)) + 1;
  const lack = Math.max(16, 64 - (high - low));
  return [Math.max(edges.from, low - Math.floor(lack / 2)), Math.min(end, high + Math.ceil(lack / 2))];
}

function rowsOf(latency, low, by) {
  const sums = new Map();
  for (const [bucket, times] of latency) {
    const row = Math.floor((bucket - low) / by);
    sums.set(row, (sums.get(row) ?? 0) + times);
  }
  return sums;
}

const LEVELS = 9;

// The cells, as one path for each of the colours. These stand for ever more requests, since one that was slow among
// thousands is to be seen too.
function shades(cells, sides, area, tall, most) {
  const level = (times) => (most === 1 ? LEVELS : 1 + Math.floor((Math.log(times) / Math.log(most)) * (LEVELS - 1) + 1e-9));
  const paths = Array(LEVELS + 1).fill("");
  cells.forEach((sums, at) => {
    const [left, right] = sides[at];
    for (const [row, times] of sums) paths[level(times)] += cell(left, right, area.bottom - row * tall, tall);
  });
  return paths.map((d, at) => d && svg("path", { d, class: `cell heat-${at}` }));
}

const cell = (left, right, foot, tall) => `M${left.toFixed(2)} ${foot.toFixed(2)}v${-tall.toFixed(2)}H${Math.max(right, left + 1).toFixed(2)}v${tall.toFixed(2)}z`;

// What has no latency, in a row of its own: the higher, the more of what was offered then.
function band(area, top, list, sides, what, words, kind) {
  const share = (column) => Math.min(1, column[what] / Math.max(1, column.offered));
  const bars = list.map((column, at) => (column[what] ? cell(...sides[at], top + 14, 3 + 11 * share(column)) : ""));
  return [
    svg("rect", { x: area.left, y: top, width: area.inner, height: 14, class: "band" }),
    svg("path", { d: bars.join(""), class: `cell ${kind}` }),
    label(area.left - 6, top + 11, "end", words),
  ];
}

function heatSays(at, row, { list, span, most, low, by, cells, run }) {
  if (at === null) {
    if (!cells.some((sums) => sums.size)) return [];
    const steps = Array.from({ length: LEVELS }, (_, n) => svg("rect", { x: n * 14, y: 0, width: 14, height: 12, class: `cell heat-${n + 1}` }));
    const ramp = svg("svg", { width: LEVELS * 14, height: 12, "aria-hidden": "true" }, steps);
    return [html("span", {}, "1", ramp, `${plural(most, "request")} in a cell`)];
  }
  const column = list[at];
  const of = (share) => {
    const bucket = quantile(column, share);
    return html("span", {}, `p${share * 100}`, html("b", {}, bucket === null ? "no answer" : time(middleOf(run, bucket))));
  };
  const some = column.answered + column.unanswered > 0;
  return [
    html("span", {}, html("b", {}, when(column, span))),
    row !== null && html("span", {}, `${time(edge(run, low + row * by))} to ${time(edge(run, Math.min(low + (row + 1) * by, run.edges.from + run.edges.ms.length - 1)))}`, html("b", {}, plural(cells[at].get(row) ?? 0, "request"))),
    some && of(0.5), some && of(0.99),
    html("span", {}, "answered", html("b", {}, count(column.answered))),
    column.failed > 0 && key(box("f-bad"), "failed", count(column.failed)),
    column.unanswered > 0 && key(box("f-gone"), "unanswered", count(column.unanswered)),
  ];
}
