//! How many answers took how long, as bars.

use hullo::bench::{
    Report, buckets,
    words::{count, time},
};

/// How many rows there are at most.
const ROWS: usize = 10;
/// The width of the longest bar.
const WIDTH: f64 = 40.0;

/// A row for each range of latencies. The ranges are equally wide on a logarithmic scale.
pub(super) fn lines(report: &Report) -> Vec<String> {
    let mut counts = vec![0_u64; buckets::COUNT];
    for (bucket, number) in report.over_time.columns.iter().flat_map(|column| &column.latency) {
        if let Some(count) = counts.get_mut(usize::from(*bucket)) {
            *count += u64::from(*number);
        }
    }
    let (Some(first), Some(last)) =
        (counts.iter().position(|count| *count > 0), counts.iter().rposition(|count| *count > 0))
    else {
        return Vec::new();
    };
    let wide = (last - first + 1).div_ceil(ROWS);
    let rows: Vec<_> = counts[first..=last].chunks(wide).map(|row| row.iter().sum::<u64>()).collect();
    let most = rows.iter().copied().max().unwrap_or(1);
    let row = |(at, number): (usize, &u64)| {
        let from = buckets::bounds((first + at * wide) as u16).start / 1e6;
        let to = buckets::bounds((first + (at + 1) * wide - 1).min(last) as u16).end / 1e6;
        let bar = bar(*number, most);
        let gap = if bar.is_empty() { "" } else { " " };
        format!("{:>8} to {:<8} {bar}{gap}{}", time(from), time(to), count(*number))
    };
    rows.iter().enumerate().map(row).collect()
}

/// A bar as long as its part of the longest, to an eighth of a character; what is not nothing is seen.
fn bar(number: u64, most: u64) -> String {
    const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
    let eighths = (number as f64 / most as f64 * WIDTH * 8.0).ceil() as usize;
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(EIGHTHS[eighths % 8 - 1]);
    }
    bar
}
