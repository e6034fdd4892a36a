
// How long which share of all requests took at most. On the axis each step is ten times as rare.
function percentiles(runs) {
  const several = runs.length > 1;
  return curves(runs.map((run, at) => ({ kind: several ? `${at}` : "accent", words: several ? run.name : "latency", points: curveOf(run) })), {
    title: "Percentiles", about: "the share of requests that took no longer",
    spoken: "From left to right ever rarer requests, upwards how long they took.",
  });
}

function lag({ report }) {
  return curves([{ kind: "accent", words: "lag", points: known(report.lag_ms.curve) }], {
    title: "The generator's own lag", about: "how late it sent what could have gone",
    spoken: "From left to right ever rarer requests, upwards how late they left.",
  });
}

// Several curves on the same axes; nothing where there is none.
function curves(drawn, { title, about, spoken }) {
  const several = drawn.length > 1;
  const some = drawn.filter(({ points }) => points.length > 1);
  const values = some.flatMap(({ points }) => points.flatMap(({ low, high, alone }) => [low, high, alone])).filter((ms) => ms > 0);
  if (!values.length) return null;
  const cut = some.some(({ points }) => points.some((point) => point.cut));
  // The longest of all stands a little beyond the rarest that can be told.
  const deepest = Math.max(...some.map(({ points }) => depth(points.at(-2).share))) + 0.3;
  const longest = some.reduce((best, one) => (one.points.length > best.points.length ? one : best));
  const stops = longest.points.filter(({ share, end }) => end || depth(share) <= deepest);
  const high = values.reduce((a, b) => Math.max(a, b)) * 1.15;
  const low = Math.min(values.reduce((a, b) => Math.min(a, b)) / 1.15, high / 4);
  const draw = (width) => {
    const area = room(width, isSlim(width) ? 230 : several ? 320 : 250, { top: 14 });
    const across = ({ share, end }) => area.left + (end ? 1 : Math.min(1, depth(share) / deepest)) * area.inner;
    const up = (ms) => area.bottom - (Math.log(Math.max(ms, low) / low) / Math.log(high / low)) * (area.bottom - area.top);
    const marks = powers(low, high, (area.bottom - area.top) / 36).map((ms) => [up(ms), tickTime(ms)]);
    const step = area.inner / deepest;
    // What stands below the axis leaves room for its ends.
    const fits = (share) => across({ share }) < area.right - 56 && (share > 0 || step > 150) && (share !== 0.5 || step > 70);
    const shown = [0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999, 0.9999999, 0.99999999].filter(fits);
    return {
      width, height: area.height,
      node: [
        upAxis(area, marks),
        acrossAxis(area, [...shown.map((share) => [across({ share }), nameOf({ share })]), [area.right, "max"]]),
        some.map((one) => course(one, across, up, area)),
      ],
      stops: stops.map(across),
      marks: (at) => {
        const x = across(stops[at]);
        const dots = some.map(({ kind, points }) => [kind, same(points, stops[at])]).filter(([, point]) => point);
        return [svg("path", { d: `M${x} ${area.top}V${area.bottom}`, class: "cursor" }), ...dots.map(([kind, point]) => svg("circle", { cx: x, cy: up(point.low), r: 4, class: `dot c-${kind}` }))];
      },
    };
  };
  const says = (at) => {
    if (at === null) return [
      ...some.map(({ kind, words }) => key(line(`c-${kind}`), words)),
      cut && key(line(`c-${some[0].kind} dashed`), "at least, cut off by the end"),
      cut && !several && key(line("thin c-quiet"), "answers alone"),
    ];
    const { share, end } = stops[at];
    return [
      html("span", {}, html("b", {}, nameOf(stops[at])), !end && share > 0 && `1 in ${amount(1 / (1 - share))} took longer`),
      ...some.map(({ kind, words, points }) => [kind, words, same(points, stops[at])]).filter(([, , point]) => point)
        .map(([kind, words, point]) => key(line(`c-${kind}`), words, `${point.cut ? "≥ " : ""}${time(point.low)}`)),
      cut && !several && key(line("thin c-quiet"), "answers alone", time(stops[at].alone)),
    ];
  };
  return chart({ title, about, group: [], draw, says, spoken });
}

const depth = (share) => Math.log10(1 / (1 - share));

const nameOf = ({ share, end }) => (end ? "max" : share === 0 ? "min" : `p${+(share * 100).toFixed(Math.max(1, Math.ceil(depth(share) - 1e-9) - 1))}`);

// The point of another run at the same share.
const same = (points, { share, end }) => (end ? points.at(-1) : points.find((point) => Math.abs(depth(point.share) - depth(share)) < 1e-6));

// A curve: whole where it is known, broken where it is a lower bound only; what it may be lies above it.
function course({ kind, points }, across, up, area) {
  const from = points.findIndex(({ cut }) => cut);
  const sure = from < 0 ? points : points.slice(0, from);
  const open = from < 0 ? [] : points.slice(Math.max(0, from - 1));
  const path = (points, what) => through(points.map((point) => (point[what] === null ? null : [across(point), up(point[what])])));
  const above = open.map((point) => [across(point), point.high === null ? area.top : up(point.high)]);
  const below = open.map((point) => [across(point), up(point.low)]).reverse();
  return [
    open.length > 1 && svg("path", { d: `${through([...above, ...below])}z`, class: `area f-${kind}` }),
    open.length > 1 && kind === "accent" && svg("path", { d: path(points, "alone"), class: "stroke thin c-quiet" }),
    sure.length > 1 && svg("path", { d: path(sure, "low"), class: `stroke c-${kind}` }),
    open.length > 1 && svg("path", { d: path(open, "low"), class: `stroke dashed c-${kind}` }),
  ];
}
