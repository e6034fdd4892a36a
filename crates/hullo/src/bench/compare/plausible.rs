//! Whether a load test could have come to what a report says: reports are files, and a file may say anything.

use super::{super::buckets, Report};
use crate::error::{Error, Result};

/// More columns than this are none of ours: they would only take time.
const COLUMNS: usize = 1_000;
/// So many requests take a day at ten million a second.
const REQUESTS: u64 = 1 << 40;
/// So many bytes are the most of which a sum of columns is still exact.
const BYTES: u64 = 1 << 53;
/// So many seconds are thirty years.
const SECONDS: f64 = 1e9;

/// Refuses a report that no load test has made, since its figures would only be work or overflow.
///
/// # Errors
/// There are more columns, or larger counts, than there can be, or times that are none.
pub fn plausible(report: &Report) -> Result<()> {
    let Some(why) = absurd(report) else { return Ok(()) };
    Err(Error::usage(format!("no load test has made this report of {}: {why}", report.target.escape_debug()))
        .hint("compare what hullo bench ADDRESS --json has written"))
}

fn absurd(report: &Report) -> Option<String> {
    let columns = &report.over_time.columns;
    if columns.len() > COLUMNS {
        return Some(format!("it has {} columns over time, and {COLUMNS} are the most", columns.len()));
    }
    let is_time = |seconds: f64| (0.0..=SECONDS).contains(&seconds);
    if !is_time(report.seconds) || !is_time(report.over_time.width) {
        return Some(format!("it lasted {} s in columns of {} s", report.seconds, report.over_time.width));
    }
    let Report { offered, sent, answered, failed, unanswered, .. } = *report;
    let own = [offered, sent, answered, failed, unanswered, report.latency_ms.count];
    let over_time = columns
        .iter()
        .flat_map(|column| [column.offered, column.answered, column.failed, column.unanswered, column.done]);
    if let Some(count) = own.into_iter().chain(over_time).find(|count| *count > REQUESTS) {
        return Some(format!("it counts {count} requests"));
    }
    let bytes = columns.iter().flat_map(|column| [column.sent, column.received]);
    if let Some(count) = bytes.chain([report.bytes.sent, report.bytes.received]).find(|count| *count > BYTES) {
        return Some(format!("it counts {count} bytes"));
    }
    let fits = |latency: &Vec<(u16, u32)>| {
        latency.len() <= buckets::COUNT && latency.iter().all(|(bucket, _)| usize::from(*bucket) < buckets::COUNT)
    };
    let fit = columns.iter().all(|column| fits(&column.latency));
    (!fit).then(|| format!("a column has more latencies than the {} that are told apart", buckets::COUNT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::{Column, OverTime};

    #[test]
    fn what_no_load_test_makes_is_refused_and_what_it_makes_is_not() {
        let good = || {
            let column = Column { offered: 10, answered: 10, latency: vec![(1023, 10)], ..Column::default() };
            let over_time = OverTime { width: 0.1, columns: vec![column; 120] };
            Report { seconds: 12.0, offered: 1200, answered: 1200, over_time, ..Report::default() }
        };
        plausible(&good()).unwrap();
        type Spoil = fn(&mut Report);
        let cases: [(&str, Spoil); 8] = [
            ("1001 columns", |report| report.over_time.columns.resize(1001, Column::default())),
            ("-1 s", |report| report.over_time.width = -1.0),
            ("NaN s", |report| report.seconds = f64::NAN),
            ("requests", |report| report.answered = u64::MAX),
            ("requests", |report| report.over_time.columns[7].unanswered = u64::MAX),
            ("bytes", |report| report.over_time.columns[7].sent = u64::MAX),
            ("latencies", |report| report.over_time.columns[7].latency = vec![(1024, 1)]),
            ("latencies", |report| report.over_time.columns[7].latency = vec![(5, 1); 1025]),
        ];
        for (said, spoil) in cases {
            let mut report = good();
            spoil(&mut report);
            let error = plausible(&report).unwrap_err().to_string();
            assert!(error.contains(said), "{said}: {error}");
        }
    }
}
