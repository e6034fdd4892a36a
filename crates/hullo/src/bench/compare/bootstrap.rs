//! How far a difference between two load tests can be believed: by the bootstrap, over blocks of time.
//!
//! Requests that follow each other share their luck (a pause, a full queue), so they are not drawn one by one: what is
//! drawn, with replacement, is stretches of adjacent columns, and where a side has several runs, runs first (Künsch 1989;
//! Davison and Hinkley 1997, chapter 8). Few of either make the drawn differences too much alike; the interval is then
//! widened as Student's t is wider than the normal distribution (Hesterberg 2015, section 3.4).

use distrs::{Normal, StudentsT};

use crate::fault::Draw;

/// How often both sides are drawn anew. The outermost quantile that is asked for still has eight draws beyond it.
const DRAWS: usize = 2000;
/// How many counts of latencies a side keeps: what is more is put together in time. It bounds the work.
const MOST_COUNTS: usize = 40_000;
/// And how many columns, for the same reason.
const MOST_COLUMNS: usize = 10_000;
/// The figures of a side, in the order of [`Figures`].
pub(super) const COUNT: usize = 7;

/// Rate of answers, p50, p90, p99, p99.9, per cent that was not answered, and bytes a second. What there is nothing of
/// is not a number.
pub(super) type Figures = [f64; COUNT];
/// Where the percentiles stand among them.
pub(super) const PERCENTILES: [(usize, f64); 4] = [(1, 0.5), (2, 0.9), (3, 0.99), (4, 0.999)];
/// Where the share of what was not answered stands: the one figure whose difference is not a ratio.
pub(super) const SHARE: usize = 5;

/// What happened in a stretch of time.
#[derive(Clone, Debug, Default)]
pub(super) struct Column {
    pub(super) seconds: f64,
    pub(super) offered: u64,
    pub(super) answered: u64,
    pub(super) bytes: u64,
    /// From and up to which latency how many were, in milliseconds.
    pub(super) latencies: Vec<(f64, f64, u64)>,
}

/// One of two sides: its runs, as columns.
pub(super) struct Side {
    columns: Vec<Column>,
    /// Which of the columns are which run's.
    runs: Vec<std::ops::Range<usize>>,
    buckets: Buckets,
    /// The figures, where somebody knows them better than the columns do.
    exactly: Option<Figures>,
}

/// The latencies of all columns together.
struct Buckets {
    /// From where to where each bucket reaches, from the shortest on.
    bounds: Vec<(f64, f64)>,
    /// Which bucket has how many of which column: bucket, column, how many.
    counts: Vec<(usize, usize, u64)>,
}

impl Side {
    pub(super) fn new(runs: Vec<Vec<Column>>, exactly: Option<Figures>) -> Self {
        let mut runs: Vec<_> = runs.into_iter().filter(|run| !run.is_empty()).collect();
        let is_much = |runs: &[Vec<Column>]| {
            runs.iter().map(Vec::len).sum::<usize>() > MOST_COLUMNS
                || runs.iter().flatten().map(|column| column.latencies.len()).sum::<usize>() > MOST_COUNTS
        };
        while is_much(&runs) && runs.iter().any(|run| run.len() > 1) {
            runs = runs.into_iter().map(halved).collect();
        }
        let mut ends = 0;
        let ranges = runs.iter().map(|run| {
            ends += run.len();
            ends - run.len()..ends
        });
        let ranges = ranges.collect();
        let columns: Vec<_> = runs.into_iter().flatten().collect();
        Self { buckets: Buckets::of(&columns), columns, runs: ranges, exactly }
    }

    /// The figures of what was measured.
    pub(super) fn figures(&self) -> Figures {
        self.exactly.unwrap_or_else(|| self.roughly())
    }

    /// The same as the columns have them, whose latencies are in buckets.
    fn roughly(&self) -> Figures {
        self.weighted(&vec![1; self.columns.len()])
    }

    pub(super) fn runs(&self) -> usize {
        self.runs.len()
    }

    /// The figures of a test in which each column happened that often.
    fn weighted(&self, weights: &[u32]) -> Figures {
        let sum = |of: fn(&Column) -> f64| -> f64 {
            self.columns.iter().zip(weights).map(|(column, weight)| of(column) * f64::from(*weight)).sum()
        };
        let (seconds, offered) = (sum(|column| column.seconds), sum(|column| column.offered as f64));
        let answered = sum(|column| column.answered as f64);
        let mut figures = [f64::NAN; COUNT];
        figures[0] = answered / seconds;
        figures[SHARE] = (1.0 - answered / offered).max(0.0) * 100.0;
        figures[6] = sum(|column| column.bytes as f64) / seconds;
        self.percentiles(weights, &mut figures);
        figures
    }

    fn percentiles(&self, weights: &[u32], figures: &mut Figures) {
        let mut sums = vec![0; self.buckets.bounds.len()];
        for (bucket, column, count) in &self.buckets.counts {
            let count = count.saturating_mul(u64::from(weights[*column]));
            sums[*bucket] = count.saturating_add(sums[*bucket]);
        }
        let all = sums.iter().fold(0, |all: u64, sum| all.saturating_add(*sum));
        let mut wanted = PERCENTILES.iter().peekable();
        let mut before = 0;
        for ((from, to), sum) in self.buckets.bounds.iter().zip(sums).filter(|(_, sum)| *sum > 0) {
            // Between the two ends of a bucket what is in it lies evenly, as far as anybody knows.
            while let Some((at, part)) = wanted.next_if(|(_, part)| part * all as f64 <= (before + sum) as f64) {
                let inside = ((part * all as f64 - before as f64) / sum as f64).clamp(0.0, 1.0);
                figures[*at] = (to - from).mul_add(inside, *from);
            }
            before += sum;
        }
    }

    /// How often each column happens in a drawn test.
    fn drawn(&self, runs: &[usize], random: &mut Draw) -> Vec<u32> {
        let mut weights = vec![0; self.columns.len()];
        for run in runs {
            let Some(columns) = self.runs.get(*run) else { continue };
            let (length, stretch) = (columns.len(), stretch(columns.len()));
            let mut left = length;
            while left > 0 {
                // A stretch that comes to the end goes on at the beginning, so that all columns are drawn alike.
                let first = below(random, length);
                for step in 0..stretch.min(left) {
                    weights[columns.start + (first + step) % length] += 1;
                }
                left -= stretch.min(left);
            }
        }
        weights
    }

    /// Of how many parts that know nothing of each other this side is.
    fn parts(&self) -> usize {
        match self.runs.as_slice() {
            [only] => only.len().div_ceil(stretch(only.len())),
            runs => runs.len(),
        }
    }
}

/// Half as many columns, each twice as long.
fn halved(run: Vec<Column>) -> Vec<Column> {
    let mut columns = run.into_iter();
    let mut halved = Vec::new();
    while let Some(mut first) = columns.next() {
        if let Some(second) = columns.next() {
            first.seconds += second.seconds;
            first.offered = first.offered.saturating_add(second.offered);
            first.answered = first.answered.saturating_add(second.answered);
            first.bytes = first.bytes.saturating_add(second.bytes);
            first.latencies = together(first.latencies, second.latencies);
        }
        halved.push(first);
    }
    halved
}

fn together(mut one: Vec<(f64, f64, u64)>, other: Vec<(f64, f64, u64)>) -> Vec<(f64, f64, u64)> {
    one.extend(other);
    one.sort_by(|a, b| a.0.total_cmp(&b.0));
    one.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        kept.2 = kept.2.saturating_add(if same { next.2 } else { 0 });
        same
    });
    one
}

impl Buckets {
    /// Those that have anything.
    fn of(columns: &[Column]) -> Self {
        let mut all = Vec::new();
        for (at, column) in columns.iter().enumerate() {
            all.extend(column.latencies.iter().map(|(from, to, count)| (*from, *to, at, *count)));
        }
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut buckets = Self { bounds: Vec::new(), counts: Vec::with_capacity(all.len()) };
        for (from, to, column, count) in all {
            if buckets.bounds.last().is_none_or(|last| last.0 != from) {
                buckets.bounds.push((from, to));
            }
            buckets.counts.push((buckets.bounds.len() - 1, column, count));
        }
        buckets
    }
}

/// How many adjacent columns are drawn together: the square root of their number. The cube root is enough where columns
/// soon forget each other; those of a busy machine do not.
fn stretch(columns: usize) -> usize {
    (columns as f64).sqrt().ceil() as usize
}

/// A number below the bound, all alike.
fn below(random: &mut Draw, bound: usize) -> usize {
    random.up_to(bound as u64 - 1) as usize
}

/// A difference of one figure from the first side to the second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Difference {
    /// In per cent of the first; for the share that was not answered, in points of per cent.
    pub(super) estimate: f64,
    /// Where it lies in 95 of 100 cases.
    pub(super) interval: (f64, f64),
    /// Where all the figures that are compared lie in 95 of 100 cases.
    pub(super) wide: (f64, f64),
}

/// The differences from one side to the other, by draws that the seed decides. `rounds` says that the runs of both sides
/// were made in turns, so that those of one round belong together.
pub(super) fn differences(a: &Side, b: &Side, rounds: bool, seed: u64) -> [Option<Difference>; COUNT] {
    let mut random = Draw::new(seed, 0, "compare", None);
    let mut drawn: [Vec<f64>; COUNT] = Default::default();
    for _ in 0..DRAWS {
        let of_a = some_runs(a, &mut random);
        let of_b = if rounds && a.runs.len() == b.runs.len() { of_a.clone() } else { some_runs(b, &mut random) };
        let (of_a, of_b) = (a.drawn(&of_a, &mut random), b.drawn(&of_b, &mut random));
        let (of_a, of_b) = (a.weighted(&of_a), b.weighted(&of_b));
        for (figure, drawn) in drawn.iter_mut().enumerate() {
            drawn.extend(between(figure, of_a[figure], of_b[figure]));
        }
    }
    let parts = a.parts().min(b.parts());
    let (exactly, roughly) = ((a.figures(), b.figures()), (a.roughly(), b.roughly()));
    std::array::from_fn(|figure| {
        let estimate = between(figure, exactly.0[figure], exactly.1[figure])?;
        let centre = between(figure, roughly.0[figure], roughly.1[figure])?;
        Some(settled(figure, estimate, centre, std::mem::take(&mut drawn[figure]), parts))
    })
}

/// Which runs happen in a drawn test: all of one, or as many of several as there are.
fn some_runs(side: &Side, random: &mut Draw) -> Vec<usize> {
    match side.runs.len() {
        1 => vec![0],
        several => (0..several).map(|_| below(random, several)).collect(),
    }
}

/// The difference of a figure, as it is drawn: a ratio as its logarithm, since half and double are equally far.
fn between(figure: usize, a: f64, b: f64) -> Option<f64> {
    let difference = if figure == SHARE { b - a } else { (b.max(1e-9) / a.max(1e-9)).ln() };
    difference.is_finite().then_some(difference)
}

/// The interval around what was measured, from the differences that were drawn around the one of the columns.
fn settled(figure: usize, estimate: f64, centre: f64, mut drawn: Vec<f64>, parts: usize) -> Difference {
    drawn.sort_by(f64::total_cmp);
    let said = |difference: f64| if figure == SHARE { difference } else { difference.exp_m1() * 100.0 };
    let interval = |outside: f64| {
        if parts < 2 {
            // From one part nothing follows: any difference may be chance.
            return (f64::NEG_INFINITY, f64::INFINITY);
        }
        let at =
            |part: f64| drawn.get((part * drawn.len() as f64) as usize).or(drawn.last()).copied().unwrap_or(centre);
        let wider = widening(outside, parts);
        let down = (centre - at(outside / 2.0)).max(0.0) * wider;
        let up = (at(1.0 - outside / 2.0) - centre).max(0.0) * wider;
        (said(estimate - down), said(estimate + up))
    };
    // What is asked of several figures at once is asked of each more strictly (Bonferroni).
    Difference { estimate: said(estimate), interval: interval(0.05), wide: interval(0.05 / COUNT as f64) }
}

/// How much wider an interval of that few parts must be than the draws say.
fn widening(outside: f64, parts: usize) -> f64 {
    let freedom = (parts - 1) as f64;
    let (normal, student) = (Normal::ppf(1.0 - outside / 2.0, 0.0, 1.0), StudentsT::ppf(1.0 - outside / 2.0, freedom));
    (parts as f64 / freedom).sqrt() * student / normal
}
