//! Figures as people read them.

use std::iter;

use super::{
    contest::FOREIGN,
    summary::{CourseSummary, Row, Spread, Summary},
};

/// From here on the other end has nothing left of its core, and may be what limits a rate.
const FULL: f64 = 0.95;

/// What is read on the terminal: the tables of a group, with a bar behind each row.
pub(crate) fn table(summary: &Summary) -> String {
    let mut text = format!("\n{}\n", summary.title);
    for course in &summary.courses {
        let mut rows = rows(summary, course);
        for (cells, row) in rows.iter_mut().skip(1).zip(measured(course)) {
            let judged = if summary.by_work { row.work_ratio } else { row.ratio };
            cells.extend(judged.map(|spread| format!("{:21}", bar(spread.middle))));
        }
        text += &format!("\n{}{}", columns(&rows), notes(&course.rows));
    }
    text
}

/// A course's table, its heads first.
pub(crate) fn rows(summary: &Summary, course: &CourseSummary) -> Vec<Vec<String>> {
    let first = measured(course).next().map_or("", |row| &row.name);
    let mut rows = vec![iter::once(course.name.clone()).chain(heads(summary, first)).collect::<Vec<_>>()];
    rows.extend(measured(course).map(|row| iter::once(row.name.clone()).chain(cells(summary, row)).collect()));
    without_empty(&rows)
}

fn measured(course: &CourseSummary) -> impl Iterator<Item = &Row> {
    course.rows.iter().filter(|row| row.trouble.is_none())
}

/// The table without columns that have nothing under their heads.
fn without_empty(table: &[Vec<String>]) -> Vec<Vec<String>> {
    let columns = table.first().map_or(0, Vec::len);
    let full = |at: usize| at == 0 || table.iter().skip(1).any(|row| row.get(at).is_some_and(|cell| !cell.is_empty()));
    let kept: Vec<_> = (0..columns).filter(|at| full(*at)).collect();
    table.iter().map(|row| kept.iter().filter_map(|at| row.get(*at).cloned()).collect()).collect()
}

/// What must be known of a course beyond its figures.
pub(crate) fn notes(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        if let Some(why) = &row.trouble {
            text += &format!("{}: not measured: {why}\n", row.name);
        }
    }
    let limited: Vec<_> = rows.iter().filter(|row| row.other > FULL).map(|row| row.name.as_str()).collect();
    if !limited.is_empty() {
        text += &format!("The other end used its whole core beside {}.\n", limited.join(", "));
    }
    let foreign = rows.iter().map(|row| row.foreign).fold(0.0, f64::max);
    if foreign > FOREIGN {
        text += &format!("Others used up to {foreign:.1} cores meanwhile.\n");
    }
    text
}

/// The heads of a table's columns, behind the name.
fn heads(summary: &Summary, first: &str) -> [String; 6] {
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
fn cells(summary: &Summary, row: &Row) -> [String; 6] {
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

/// Four digits that mean something, the others 0; GB have two or three behind the point.
pub(crate) fn amount(value: f64, unit: &str) -> String {
    if unit == "GB" {
        let digits = if value < 1e9 { 3 } else { 2 };
        return format!("{:.digits$}", value / 1e9);
    }
    let step = 10_f64.powf((value.max(1.0).log10().floor() - 3.0).max(0.0));
    let digits = format!("{:.0}", (value / step).round() * step);
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// `0.95`, and behind it between what it lies, unless that says nothing.
fn ratio(spread: Spread) -> String {
    let Spread { middle, low, high } = spread;
    let [middle, low, high] = [middle, low, high].map(|ratio| format!("{ratio:.2}"));
    if low == high { middle } else { format!("{middle} ({low} to {high})") }
}

fn time(milliseconds: f64) -> String {
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
fn bar(ratio: f64) -> String {
    const WIDTH: f64 = 20.0;
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (ratio.clamp(0.0, 2.0) * WIDTH / 2.0 * 8.0).round() as usize;
    let more = if ratio > 2.0 { "▶" } else { EIGHTHS[eighths % 8] };
    "█".repeat(eighths / 8) + more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_disturbs_and_what_limits_is_said() {
        let row = |name: &str, foreign, other| Row { name: name.to_owned(), foreign, other, ..Row::default() };
        let gone = Row { trouble: Some("there is no gone".to_owned()), ..row("gone", 0.0, 0.0) };
        let rows = [row("C", 0.1, 0.97), row("hullo", 0.4, 0.99), gone];
        assert_eq!(
            notes(&rows),
            "gone: not measured: there is no gone\nThe other end used its whole core beside C, hullo.\n\
             Others used up to 0.4 cores meanwhile.\n"
        );
        assert_eq!(notes(&[row("C", 0.1, 0.5)]), "");
    }

    #[test]
    fn a_table_has_no_columns_without_figures() {
        let table = [vec!["", "rate", "p50"], vec!["hullo", "1", ""]];
        let table = table.map(|row| row.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(without_empty(&table), [["", "rate"], ["hullo", "1"]]);
    }

    #[test]
    fn amounts_have_four_digits_that_mean_something() {
        for (value, unit, expected) in [
            (136_912.3, "echoes", "136,900"),
            (1_577.5, "echoes", "1,578"),
            (12.0, "echoes", "12"),
            (0.0, "echoes", "0"),
            (3_459_019.0, "echoes", "3,459,000"),
            (1_450_000_000.0, "GB", "1.45"),
            (45_000_000.0, "GB", "0.045"),
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
