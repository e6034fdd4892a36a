
// The frame of every chart: its title, its legend, what it says of the place that is pointed at, and the keys.

// `draw(width)` gives { height, node, stops, marks } anew for each width: the picture, the places that can be pointed at
// (from left to right), and what is drawn over it where one is. `says(at, row)` gives the legend, for all of the run where
// nothing is pointed at. Charts of one `group` are pointed at together.
function chart({ title, about, group, draw, says, spoken }) {
  const legend = html("div", { class: "legend" });
  const loud = html("p", { class: "unseen", "aria-live": "polite" });
  const plot = html("div", { class: "plot", tabindex: 0, role: "img", "aria-label": `${title}. ${spoken} Arrow keys read it out.` });
  const heading = html("h2", {}, title);
  const figure = html("figure", { class: "card" }, html("figcaption", {}, heading, about ? html("p", {}, about) : null), legend, plot, loud);
  const self = { figure, plot, drawn: null, at: null, row: null };

  self.paint = () => {
    const width = Math.floor(plot.clientWidth);
    if (!width) return;
    self.drawn = draw(width);
    self.over = svg("g");
    const size = { viewBox: `0 0 ${width} ${self.drawn.height}`, width, height: self.drawn.height, "aria-hidden": "true" };
    plot.replaceChildren(svg("svg", size, self.drawn.node, self.over));
    self.at = null;
    self.point(null, null);
  };
  self.point = (at, row) => {
    self.at = at;
    self.row = row;
    self.over.replaceChildren(...(at === null ? [] : self.drawn.marks(at, row).filter(Boolean)));
    legend.replaceChildren(...says(at, row, self.drawn).filter(Boolean));
  };
  const all = (at, row) => {
    for (const other of group) if (other.drawn) other.point(at, other === self ? row : null);
  };
  group.push(self);

  const pointed = (event) => {
    const from = plot.getBoundingClientRect();
    const scale = from.width / plot.clientWidth;
    const x = (event.clientX - from.left) / scale;
    const y = (event.clientY - from.top) / scale;
    const { stops } = self.drawn;
    if (!stops.length) return;
    const at = stops.reduce((best, stop, i) => (Math.abs(stop - x) < Math.abs(stops[best] - x) ? i : best), 0);
    all(at, self.drawn.row?.(y) ?? null);
  };
  plot.addEventListener("pointermove", pointed);
  plot.addEventListener("pointerdown", pointed);
  plot.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && all(null, null));
  plot.addEventListener("blur", () => all(null, null));
  plot.addEventListener("keydown", (event) => {
    const { stops, rows = 0 } = self.drawn;
    if (!stops.length) return;
    const last = stops.length - 1;
    const at = self.at ?? -1;
    const column = { ArrowLeft: at < 0 ? last : Math.max(0, at - 1), ArrowRight: Math.min(last, at + 1), Home: 0, End: last, PageUp: Math.max(0, at - 10), PageDown: Math.min(last, at + 10) };
    const row = { ArrowUp: self.row === null ? 0 : Math.min(rows - 1, self.row + 1), ArrowDown: self.row === null ? rows - 1 : Math.max(0, self.row - 1) };
    if (event.key === "Escape") all(null, null);
    else if (event.key in column) all(column[event.key], self.row);
    else if (event.key in row && rows) all(Math.max(0, at), row[event.key]);
    else return;
    event.preventDefault();
    loud.textContent = [...legend.children].map((part) => part.textContent).join(", ");
  });
  new ResizeObserver(() => {
    if (self.drawn?.width !== Math.floor(plot.clientWidth)) self.paint();
  }).observe(plot);
  return figure;
}

// The width of a screen that is held in a hand.
const isSlim = (width) => width < 500;

// The room of a picture, with its axes.
function room(width, height, { left = isSlim(width) ? 48 : 62, right = 12, top = 10, bottom = 26 } = {}) {
  return { width, height, left, top, right: width - right, bottom: height - bottom, inner: width - right - left };
}

// The grid of an axis that goes up: [where, text].
const upAxis = (area, marks) => marks.map(([y, text]) => [
  svg("path", { d: `M${area.left} ${Math.round(y)}H${area.right}`, class: "grid" }),
  label(area.left - 8, y + 4, "end", text),
]);

// That of an axis that goes across.
const acrossAxis = (area, marks) => [
  svg("path", { d: `M${area.left} ${area.bottom}H${area.right}`, class: "axis" }),
  marks.map(([x, text]) => [
    svg("path", { d: `M${Math.round(x)} ${area.bottom}v4`, class: "axis" }),
    label(x, area.bottom + 18, x > area.right - 16 ? "end" : x < area.left + 8 ? "" : "middle", text),
  ]),
];

// From where to where each column reaches.
function sidesOf(list, span, area) {
  const across = (seconds) => area.left + (Math.min(span, seconds) / span) * area.inner;
  return list.map(({ from, seconds }) => [across(from), across(from + seconds)]);
}

const timeAxis = (area, span) => acrossAxis(area, moments(span, area.inner / 84).map((at) => [area.left + (at / span) * area.inner, clock(at, span)]));

// Lines through points; where there is nothing, they are broken.
function through(points) {
  let path = "";
  let pen = "M";
  for (const point of points) {
    if (point === null) { pen = "M"; continue; }
    path += `${pen}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
    pen = "L";
  }
  return path;
}
