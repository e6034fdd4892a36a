
// Numbers as a person reads them, and elements out of nothing but text.

const digits = (value) => {
  return value.toFixed(Math.max(0, Math.min(3, 2 - Math.floor(Math.log10(value)))));
};

// A time that is given in milliseconds.
function time(ms) {
  if (ms === 0) return "0 ms";
  const [unit, name] = [[1e3, "s"], [1, "ms"], [1e-3, "µs"], [1e-6, "ns"]].find(([unit]) => ms / unit >= 0.9995) ?? [1e-6, "ns"];
  return `${digits(ms / unit)} ${name}`;
}

// The same on an axis, where it is round.
const tickTime = (ms) => (ms >= 1e3 ? `${+(ms / 1e3).toPrecision(3)} s` : ms >= 1 ? `${+ms.toPrecision(3)} ms` : `${+(ms * 1e3).toPrecision(3)} µs`);

const count = (value) => Math.round(value).toLocaleString("en-US");

// So many of something; in thousands and more of them where it has a unit.
function amount(value, unit = "") {
  if (!unit) return value >= 99.5 || Number.isInteger(value) ? count(value) : `${+value.toPrecision(3)}`;
  const at = value < 1 ? 0 : Math.min(4, Math.floor(Math.log10(value * 1.0005) / 3));
  return value === 0 ? "0" : `${+(value / 1000 ** at).toPrecision(3)} ${["", "k", "M", "G", "T"][at]}${unit}`;
}

const plural = (value, one) => `${count(value)} ${one}${Math.round(value) === 1 ? "" : "s"}`;

// A point of the run, from its beginning; all of them are in the unit of the longest. A run of a second may end a little
// before it, when nothing more was due.
function clock(seconds, span) {
  if (span < 0.95) return `${+(seconds * 1e3).toPrecision(3)} ms`;
  if (span < 600) return `${+seconds.toFixed(span < 30 ? 2 : 1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (span < 7200) return `${minutes}:${String(Math.floor(seconds % 60)).padStart(2, "0")} min`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")} h`;
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.flat(9).filter((child) => child || child === 0));
  return node;
}
const html = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) => fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
const label = (x, y, kind, text) => svg("text", { x, y, class: kind }, text);

// A sample of how something is drawn, and its words.
function key(sample, words, value) {
  const size = { width: 16, height: 12, viewBox: "0 0 16 12", "aria-hidden": "true" };
  return html("span", {}, svg("svg", size, sample), words, value === undefined ? null : html("b", {}, value));
}
const line = (kind) => svg("path", { d: "M1 6H15", class: `stroke ${kind}` });
const box = (kind) => svg("rect", { x: 1, y: 1, width: 14, height: 10, rx: 2, class: kind });

// Round places of a linear axis.
function places(most, wanted) {
  const raw = most / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((by) => by * power >= raw * 0.999) * power;
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, at) => at * step);
}

// The same of time, where an hour has sixty minutes.
function moments(span, wanted) {
  const steps = [60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
  const step = span / wanted <= 30 ? null : steps.find((step) => span / step <= wanted) ?? 86400 * Math.ceil(span / 86400 / wanted);
  return step ? Array.from({ length: Math.floor(span / step + 1e-9) + 1 }, (_, at) => at * step) : places(span, wanted);
}

// Round places of a logarithmic axis: 1, 2, 5 where there is room for them, or powers of ten.
function powers(low, high, wanted) {
  const all = (factors, every = 1) => {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
      if (power % every === 0) for (const factor of factors) {
        const value = factor * 10 ** power;
        if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
      }
    }
    return found;
  };
  const choices = [all([1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9]), all([1, 2, 5]), all([1, 3]), all([1]), all([1], 2), all([1], 3)];
  return choices.find((choice) => choice.length <= wanted) ?? choices.at(-1);
}
