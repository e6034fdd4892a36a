
// What is read out of a report: its columns, put together until each has room to be seen and something to say.

// So many answers a column should have, where there are not many, and so many columns a run has all the same.
const TELLING = 25;
const FEW = 50;

// A run ends where it ends, and seldom with a column: the last one has the time that it had, and where that is less than
// half of the others', it belongs to the one before. So no rate at the end is one of nothing.
function columnsOf(run, most) {
  const { width, columns } = run.report.over_time;
  const { offered, seconds } = run.report;
  const span = seconds > 0 ? seconds : Math.max(columns.length * width, 1e-9);
  const whole = width > 0 ? Math.max(1, Math.round(span / width)) : 1;
  const wanted = Math.max(1, Math.min(most, Math.max(FEW, offered / TELLING)));
  const by = Math.ceil(whole / wanted);
  const many = Math.max(1, Math.round(whole / by));
  const list = Array.from({ length: many }, (_, at) => {
    const last = at === many - 1;
    const from = at * by * width;
    const to = last ? span : (at + 1) * by * width;
    return together(columns.slice(at * by, last ? columns.length : (at + 1) * by), from, to - from);
  });
  return { list, span };
}

function together(columns, from, seconds) {
  const sum = { from, seconds, latency: new Map() };
  for (const name of ["offered", "answered", "failed", "unanswered", "done", "sent", "received"]) sum[name] = columns.reduce((sum, column) => sum + column[name], 0);
  for (const [bucket, times] of columns.flatMap((column) => column.latency)) sum.latency.set(bucket, (sum.latency.get(bucket) ?? 0) + times);
  return sum;
}

// The bucket up to which that share of a column lies, where what has no answer takes for ever.
function quantile({ latency, answered, unanswered }, share) {
  let left = Math.max(1, Math.ceil(share * (answered + unanswered) - 1e-9));
  for (const [bucket, times] of [...latency].sort(([a], [b]) => a - b)) {
    left -= times;
    if (left <= 0) return bucket;
  }
  return null;
}

// From where a bucket reaches, in milliseconds: the next one's is its end.
const edge = (run, bucket) => run.edges.ms[bucket - run.edges.from];
const middleOf = (run, bucket) => Math.sqrt(edge(run, bucket) * edge(run, bucket + 1));

// Where a time lies between buckets.
function place(run, ms) {
  const { from, ms: edges } = run.edges;
  const at = edges.findIndex((edge) => edge > ms);
  if (at < 0) return from + edges.length - 1;
  if (at === 0) return from;
  return from + at - 1 + Math.log(ms / edges[at - 1]) / Math.log(edges[at] / edges[at - 1]);
}

const when = (column, span) => `${clock(column.from, span)} to ${clock(Math.min(span, column.from + column.seconds), span)}`;

// The curve of a run: of each share of requests, what it took at least, what it took if the unanswered had never been
// answered, and what the answers alone would make one believe. The last two are as fine as the buckets.
function curveOf(run) {
  const { latency_ms: { curve }, over_time: { columns }, unanswered } = run.report;
  const answers = together(columns, 0, 0);
  if (!unanswered) return known(curve);
  const points = curve.map(([share, low]) => {
    const bucket = quantile({ ...answers, unanswered }, share);
    const alone = quantile({ ...answers, unanswered: 0 }, share);
    const cut = bucket === null || edge(run, bucket) > low * 1.01;
    return { share, low, high: bucket === null ? null : cut ? middleOf(run, bucket) : low, cut, alone: alone === null ? null : Math.min(middleOf(run, alone), low) };
  });
  return ended(points);
}

const known = (curve) => ended(curve.map(([share, low]) => ({ share, low, high: low, cut: false, alone: low })));

// The longest of all stands where the curve ends.
function ended(points) {
  const last = points.findIndex(({ share }) => share >= 1);
  return last < 0 ? points : points.slice(0, last).concat({ ...points[last], end: true });
}
