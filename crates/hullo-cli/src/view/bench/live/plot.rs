//! Bars and bands out of block characters.

use hullo::bench::words::time;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
};

use super::history::{BANDS, Slice, band, begin};

/// Eighths of a row, and shades of a cell, the fullest last.
const EIGHTHS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
const SHADES: [&str; 4] = ["░", "▒", "▓", "█"];

/// Bars that stand on the area's foot: `most` is as high as the area. Where a column reaches up to a `mark` too, there
/// is a line.
pub(super) fn bars(buffer: &mut Buffer, area: Rect, values: &[Option<(f64, f64)>], most: f64, style: Style) {
    if area.is_empty() {
        return;
    }
    let tall = f64::from(area.height) * 8.0;
    let eighths = |value: f64| if value > 0.0 { (value / most * tall).round().clamp(1.0, tall) as u16 } else { 0 };
    for (x, value) in (area.left()..area.right()).zip(values) {
        let Some((value, mark)) = value else { continue };
        let (full, line) = (eighths(*value), eighths(*mark));
        for row in 0..area.height {
            let y = area.bottom() - 1 - row;
            let here = full.saturating_sub(row * 8).min(8);
            if here > 0 {
                buffer[(x, y)].set_symbol(EIGHTHS[usize::from(here) - 1]).set_style(style);
            } else if line > 0 && (line - 1) / 8 == row {
                buffer[(x, y)].set_symbol("╌").set_style(quiet());
            }
        }
    }
}

/// The range of bands in which anything is, widened until there is one for each of so many rows.
pub(super) fn reach(columns: &[Option<Slice>], rows: usize) -> Option<(usize, usize)> {
    let used = |band: &usize| columns.iter().flatten().any(|column| column.bands[*band] > 0.0);
    let (low, high) = ((0..BANDS).find(used)?, (0..BANDS).rfind(used)? + 1);
    let lack = rows.saturating_sub(high - low);
    let low = low.saturating_sub(lack / 2);
    Some((low, (high.max(low + rows)).min(BANDS)))
}

/// A heat map: columns over time, rows of ever longer times upwards.
pub(super) fn heat(
    buffer: &mut Buffer,
    area: Rect,
    columns: &[Option<Slice>],
    (low, high): (usize, usize),
    style: Style,
) {
    let rows = usize::from(area.height);
    let in_row = |column: &Slice, row: usize| -> f64 {
        let (from, to) = (low + row * (high - low) / rows, low + (row + 1) * (high - low) / rows);
        column.bands[from..to].iter().sum()
    };
    let all = columns.iter().flatten().flat_map(|column| (0..rows).map(|row| in_row(column, row)));
    let most = all.fold(1.0, f64::max);
    for (x, column) in (area.left()..area.right()).zip(columns) {
        let Some(column) = column else { continue };
        for row in 0..rows {
            let count = in_row(column, row);
            if count > 0.0 {
                // One that was slow among thousands is to be seen too.
                let level = (1.0 + count).ln() / (1.0 + most).ln() * SHADES.len() as f64;
                let shade = SHADES[(level.ceil() as usize).clamp(1, SHADES.len()) - 1];
                buffer[(x, area.bottom() - 1 - row as u16)].set_symbol(shade).set_style(style);
            }
        }
    }
}

/// The times at the side of a heat map: round ones, where they lie. All that are so wide.
pub(super) const LABEL: u16 = 9;

pub(super) fn labels(buffer: &mut Buffer, area: Rect, (low, high): (usize, usize)) {
    let rows = usize::from(area.height);
    let row = |ms: f64| {
        let band = band(hullo::bench::buckets::bucket((ms * 1e6) as u64));
        (low..high).contains(&band).then(|| (band - low) * rows / (high - low))
    };
    let mut taken: Vec<usize> = Vec::new();
    // Powers of ten first, and others in between where there is room.
    for factors in [&[1.0][..], &[3.0], &[2.0, 5.0]] {
        for (power, factor) in (-3..7).flat_map(|power| factors.iter().map(move |factor| (power, factor))) {
            let ms = factor * 10_f64.powi(power);
            let Some(row) = row(ms).filter(|row| taken.iter().all(|one| one.abs_diff(*row) > 1)) else { continue };
            if ms < begin(low) {
                continue;
            }
            taken.push(row);
            let text = format!("{:>width$}", round(ms), width = usize::from(LABEL) - 1);
            buffer.set_string(area.left(), area.bottom() - 1 - row as u16, text, quiet());
        }
    }
}

/// A round time, without zeros behind its point.
fn round(ms: f64) -> String {
    let text = time(ms);
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

pub(super) fn quiet() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}
