//! Figures as people read them.

use super::summary::{Row, Spread, Summary};

/// The heads of a table's columns, behind the name.
pub(crate) fn heads(summary: &Summary, first: &str) -> [String; 6] {
    let unit = &summary.unit;
    [
        format!("{unit} a second"),
        format!("to {first}"),
        "p50".to_owned(),
        "p99".to_owned(),
        format!("{unit} a CPU-second"),
        format!("to {first}"),
    ]
}

/// The cells of a row, behind its name.
pub(crate) fn cells(summary: &Summary, row: &Row) -> [String; 6] {
    let amount = |value| amount(value, &summary.unit);
    [
        amount(row.rate),
        row.ratio.map(ratio).unwrap_or_default(),
        row.p50_ms.map(time).unwrap_or_default(),
        row.p99_ms.map(time).unwrap_or_default(),
        row.work.map(amount).unwrap_or_default(),
        row.work_ratio.map(ratio).unwrap_or_default(),
    ]
}

/// Four digits that mean something, the others 0; GB have two behind the point.
pub(crate) fn amount(value: f64, unit: &str) -> String {
    if unit == "GB" {
        return format!("{:.2}", value / 1e9);
    }
    let step = 10_f64.powf((value.max(1.0).log10().floor() - 3.0).max(0.0));
    let digits = format!("{:.0}", (value / step).round() * step);
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// `0.95`, and behind it between what it lies, unless that says nothing.
pub(crate) fn ratio(spread: Spread) -> String {
    let Spread { middle, low, high } = spread;
    let [middle, low, high] = [middle, low, high].map(|ratio| format!("{ratio:.2}"));
    if low == high { middle } else { format!("{middle} ({low} to {high})") }
}

pub(crate) fn time(milliseconds: f64) -> String {
    match milliseconds {
        short if short < 1.0 => format!("{:.0} us", short * 1000.0),
        middle if middle < 100.0 => format!("{middle:.1} ms"),
        long => format!("{long:.0} ms"),
    }
}

/// A table for the terminal: columns as wide as they must be, all but the first to the right.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(at, cell)| {
            let width = width(at).unwrap_or_default();
            if at == 0 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// A bar of eighths of a character, which is full at twice the first one.
pub(crate) fn bar(ratio: f64) -> String {
    const WIDTH: f64 = 20.0;
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (ratio.clamp(0.0, 2.0) * WIDTH / 2.0 * 8.0).round() as usize;
    let more = if ratio > 2.0 { "▶" } else { EIGHTHS[eighths % 8] };
    "█".repeat(eighths / 8) + more
}

/// What is read on the terminal.
pub(crate) fn table(summary: &Summary) -> String {
    let mut text = format!("\n{}\n", summary.title);
    for course in &summary.courses {
        let first = course.rows.iter().find(|row| row.trouble.is_none()).map_or("", |row| &row.name);
        let mut rows = vec![std::iter::once(course.name.clone()).chain(heads(summary, first)).collect::<Vec<_>>()];
        for row in course.rows.iter().filter(|row| row.trouble.is_none()) {
            let judged = if summary.by_work { row.work_ratio } else { row.ratio };
            let bar = judged.map(|spread| format!("{:21}", bar(spread.middle)));
            rows.push(std::iter::once(row.name.clone()).chain(cells(summary, row)).chain(bar).collect());
        }
        text += &columns(&rows);
        text += &notes(&course.rows);
    }
    text
}

/// What must be known of a course beyond its figures.
pub(crate) fn notes(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        if let Some(why) = &row.trouble {
            text += &format!("{}: not measured: {why}\n", row.name);
        } else if row.foreign > 0.25 {
            text += &format!("{}: others used {:.1} cores in one of its samples.\n", row.name, row.foreign);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_four_digits_that_mean_something() {
        for (value, unit, expected) in [
            (136_912.3, "echoes", "136,900"),
            (1_577.5, "echoes", "1,578"),
            (12.0, "echoes", "12"),
            (0.0, "echoes", "0"),
            (3_459_019.0, "echoes", "3,459,000"),
            (1_450_000_000.0, "GB", "1.45"),
        ] {
            assert_eq!(amount(value, unit), expected, "{value}");
        }
    }

    #[test]
    fn a_spread_is_said_where_there_is_one() {
        assert_eq!(ratio(Spread { middle: 0.951, low: 0.9, high: 1.0 }), "0.95 (0.90 to 1.00)");
        assert_eq!(ratio(Spread { middle: 1.0, low: 1.0, high: 1.0 }), "1.00");
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        assert_eq!([time(0.8676), time(12.34), time(1234.5)], ["868 us", "12.3 ms", "1234 ms"]);
    }

    #[test]
    fn bars_end_at_twice_the_first() {
        assert_eq!(bar(1.0), "█".repeat(10));
        assert_eq!(bar(0.55), "█".repeat(5) + "▌");
        assert_eq!(bar(9.0), "█".repeat(20) + "▶");
        assert_eq!(bar(0.0), "");
    }

    #[test]
    fn columns_are_straight() {
        let rows = [vec!["".to_owned(), "rate".to_owned()], vec!["hullo".to_owned(), "1".to_owned()]];
        assert_eq!(columns(&rows), "       rate\nhullo     1\n");
    }
}
