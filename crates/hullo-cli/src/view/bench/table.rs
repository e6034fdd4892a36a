//! `hullo bench --csv FILE`: a load test as a table for other programs.
//!
//! The table has the run over time, a row for each column of the report: what a spreadsheet or a notebook draws. A name that
//! ends in `.hgrm` asks for percentiles instead, in the form of HdrHistogram, as wrk2 prints it and its plotters read it.

use hullo::bench::{
    Report,
    report::{Column, Latency},
};

const HEAD: &str = "second,seconds,offered,answered,failed,unanswered,done,bytes_sent,bytes_received,done_per_second,p50_ms,p90_ms,p99_ms,max_ms";

/// The run over time. A request is in the row of the time at which it should have gone, with its latency; `done`,
/// `done_per_second` and bytes are in the row of when they came, unless that was behind the end.
pub(crate) fn over_time(report: &Report) -> String {
    let width = report.over_time.width;
    let mut table = format!("{HEAD}\n");
    for (at, column) in report.over_time.columns.iter().enumerate() {
        let second = width * at as f64;
        // The last one may be cut short by the end.
        let seconds = (report.seconds - second).clamp(0.0, width);
        table += &row(second, seconds, seconds >= width * TELLING, column);
    }
    table
}

/// Of a row that is cut shorter than this part of the others, a rate would be chance.
const TELLING: f64 = 0.5;

fn row(second: f64, seconds: f64, is_telling: bool, column: &Column) -> String {
    let Column { offered, answered, failed, unanswered, done, sent, received, .. } = column;
    let rate = if is_telling { rounded(*done as f64 / seconds) } else { String::new() };
    let times = [0.5, 0.9, 0.99, 1.0].map(|share| column.latency_ms(share).map_or(String::new(), rounded));
    let (second, seconds) = (rounded(second), rounded(seconds));
    format!(
        "{second},{seconds},{offered},{answered},{failed},{unanswered},{done},{sent},{received},{rate},{}\n",
        times.join(",")
    )
}

/// To a millionth, without zeros at its end.
fn rounded(number: f64) -> String {
    ((number * 1e6).round() / 1e6).to_string()
}

/// The latencies as HdrHistogram writes percentiles.
pub(crate) fn percentiles(times: &Latency) -> String {
    let mut table = format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    for (share, value) in &times.curve {
        let below = (share * times.count as f64).ceil() as u64;
        table += &format!("{value:12.3} {share:2.12} {below:10}");
        // The whole has no further nine.
        table += &if *share < 1.0 { format!(" {:14.2}\n", 1.0 / (1.0 - share)) } else { "\n".to_owned() };
    }
    let [mean, max] = [times.mean, times.max].map(|time| time.map_or("nan".to_owned(), |time| format!("{time:.3}")));
    table += &format!("#[Mean    = {mean:>12}, StdDeviation   = {:>12}]\n", "nan");
    table + &format!("#[Max     = {max:>12}, Total count    = {:12}]\n", times.count)
}
