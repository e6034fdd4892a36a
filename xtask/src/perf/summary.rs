//! What many samples come to: medians, and ratios that are taken within a round before their median is.

use serde::{Deserialize, Serialize};

use super::{
    contest::{Contender, Course, Run, Sample},
    group::{By, Group, Subject},
};
use crate::machine::median;

/// A group, as it is published: it is what `docs/performance.json` holds.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) about: String,
    /// "GB", or the plural of what is counted.
    pub(crate) unit: String,
    /// Generators contend, and not servers.
    pub(crate) generators: bool,
    /// The chart draws the ratio of work per CPU-second, and not of rates.
    pub(crate) by_work: bool,
    pub(crate) measured: String,
    pub(crate) courses: Vec<CourseSummary>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct CourseSummary {
    /// Empty where there is one alone.
    pub(crate) name: String,
    pub(crate) rows: Vec<Row>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// A second; bytes, where the unit is GB.
    pub(crate) rate: f64,
    pub(crate) ratio: Option<Spread>,
    /// A CPU-second of the contender; none where it has no CPU of its own.
    pub(crate) work: Option<f64>,
    pub(crate) work_ratio: Option<Spread>,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    /// The most that others used in any sample, in cores.
    pub(crate) foreign: f64,
    /// How much of its core the other end used.
    pub(crate) other: f64,
    pub(crate) trouble: Option<String>,
}

/// A median, and between what it lies.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) middle: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

pub(crate) fn summarize(group: &Group, courses: &[Course], run: Run, today: &str) -> Summary {
    let Run { rounds, seconds } = run;
    Summary {
        name: group.name.to_owned(),
        title: group.title.to_owned(),
        about: group.about.to_owned(),
        unit: group.unit.name().to_owned(),
        generators: group.subject == Subject::Generators,
        by_work: group.judged == By::Work,
        measured: format!("{rounds} rounds of {seconds} s, {today}"),
        courses: courses.iter().map(course).collect(),
    }
}

fn course(course: &Course) -> CourseSummary {
    // Where the first of the table could not be had, the next one is what the others are put beside.
    let first = course.contenders.iter().find(|contender| contender.trouble.is_none());
    let rows = course.contenders.iter().map(|contender| row(contender, first)).collect();
    CourseSummary { name: course.name.to_owned(), rows }
}

fn row(contender: &Contender, first: Option<&Contender>) -> Row {
    let samples: Vec<_> = contender.samples.iter().flatten().collect();
    let middle = |figure: &dyn Fn(&Sample) -> f64| median(samples.iter().map(|sample| figure(sample)));
    let maybe = |figure: &dyn Fn(&Sample) -> Option<f64>| {
        let all: Vec<_> = samples.iter().filter_map(|sample| figure(sample)).collect();
        (!all.is_empty()).then(|| median(all))
    };
    let ratio = |figure: &dyn Fn(&Sample) -> Option<f64>| ratio(&contender.samples, &first?.samples, figure);
    Row {
        name: contender.name.to_owned(),
        rate: middle(&|sample| sample.figures.rate),
        ratio: ratio(&|sample| Some(sample.figures.rate)),
        work: maybe(&work),
        work_ratio: ratio(&work),
        p50_ms: maybe(&|sample| sample.figures.p50),
        p99_ms: maybe(&|sample| sample.figures.p99),
        foreign: samples.iter().map(|sample| sample.foreign).fold(0.0, f64::max),
        other: middle(&|sample| sample.other_cpu * sample.figures.rate / sample.figures.work.max(1.0)),
        trouble: contender.trouble.clone(),
    }
}

/// Work per CPU-second.
fn work(sample: &Sample) -> Option<f64> {
    (sample.cpu > 0.0).then(|| sample.figures.work / sample.cpu)
}

/// The rounds' own ratios, since a round is as near as two samples can be.
fn ratio(ours: &[Option<Sample>], first: &[Option<Sample>], figure: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
    let both = ours.iter().zip(first).filter_map(|(ours, first)| ours.as_ref().zip(first.as_ref()));
    let ratios: Vec<_> = both.filter_map(|(ours, first)| Some(figure(ours)? / figure(first)?)).collect();
    let low = ratios.iter().copied().reduce(f64::min)?;
    let high = ratios.iter().copied().reduce(f64::max)?;
    Some(Spread { middle: median(ratios), low, high })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::figures::Figures;

    fn sample(rate: f64, cpu: f64) -> Option<Sample> {
        let figures = Figures { rate, work: rate, p50: None, p99: Some(rate / 10.0) };
        Some(Sample { figures, cpu, other_cpu: 0.5, foreign: 0.1 })
    }

    #[test]
    fn ratios_are_those_of_the_rounds() {
        // The machine halves its speed in the second round; the ratio does not notice.
        let first = [sample(100.0, 1.0), sample(50.0, 1.0), sample(90.0, 1.0)];
        let ours = [sample(200.0, 2.0), sample(100.0, 0.5), None];
        let spread = ratio(&ours, &first, |sample| Some(sample.figures.rate));
        assert_eq!(spread, Some(Spread { middle: 2.0, low: 2.0, high: 2.0 }));
        let spread = ratio(&ours, &first, work);
        assert_eq!(spread, Some(Spread { middle: 2.5, low: 1.0, high: 4.0 }));
        assert_eq!(ratio(&[None], &first, work), None);
    }

    #[test]
    fn who_has_no_cpu_has_no_work_for_it() {
        assert_eq!(sample(100.0, 0.0).as_ref().and_then(work), None);
        assert_eq!(sample(100.0, 0.5).as_ref().and_then(work), Some(200.0));
    }
}
