
// All charts of all runs, and their figures over time as a table.

function page({ runs }) {
  const charts = document.getElementById("charts");
  const add = (...figures) => charts.append(...figures.filter(Boolean));
  const alone = runs.length === 1;
  if (!alone) add(percentiles(runs));
  for (const run of runs.filter(({ report }) => report.over_time.columns.length > 0)) {
    // Those of requests are pointed at together; bytes have columns of their own.
    const [name, group] = [alone ? "" : `: ${run.name}`, []];
    const asks = run.report.offered > 0 && !run.is_bulk;
    const shown = [alone && percentiles(runs), asks && throughput(run, name, group), bytes(run, name, group), alone && lag(run)];
    add(asks && heat(run, name, []), html("div", { class: "side" }, shown.filter(Boolean)), table(run, name, asks));
  }
}

const noun = ({ noun }) => noun[0].toUpperCase() + noun.slice(1);

function throughput(run, name, group) {
  const offered = run.report.loop === "open" && ["offered", "offered", "ink", "dashed"];
  const failed = run.report.failed > 0 && ["failed", "failed", "bad", "area"];
  return rates(run, {
    title: `${noun(run)}s a second${name}`, unit: "", group, spoken: `${noun(run)}s a second over time.`,
    series: [[run.became, "done", "accent", "area"], offered, failed].filter(Boolean),
  });
}

function bytes(run, name, group) {
  if (!run.report.bytes.sent && !run.report.bytes.received) return null;
  return rates(run, {
    title: `Bytes a second${name}`, unit: "B", group, spoken: "Bytes sent and received a second over time.",
    series: [["received", "received", "accent", "area"], ["sent", "sent", "ink", "dashed"]],
  });
}

function table(run, name, asks) {
  const { list, span } = columnsOf(run, FEW);
  const of = (column, share) => {
    const bucket = quantile(column, share);
    return bucket === null ? (column.unanswered ? "no answer" : "–") : time(middleOf(run, bucket));
  };
  const counters = asks ? ["offered", "answered", "failed", "unanswered"] : [];
  const row = (cells, name) => html("tr", {}, cells.map((text) => html(name, { class: "number" }, text)));
  const figures = (column) => [clock(column.from, span), ...counters.map((what) => count(column[what])), ...(asks ? [of(column, 0.5), of(column, 0.99)] : []), amount(column.sent, "B"), amount(column.received, "B")];
  const rows = html("table", {},
    html("thead", {}, row(["from", ...counters, ...(asks ? ["p50", "p99"] : []), "sent", "received"], "th")),
    html("tbody", {}, list.map((column) => row(figures(column), "td"))));
  return html("details", { class: "card" },
    html("summary", {}, `Figures over time${name}`),
    html("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Figures over time" }, rows));
}

page(JSON.parse(document.getElementById("data").textContent));
