//! Two load tests beside each other, in lines.

use hullo::bench::{
    Report,
    compare::{Compared, Comparison, Word},
    words::{bytes, count, percent, rate, share, time, time_if_any},
};

use crate::{report::shown_in_line, view::paint::Paint};

/// The whole comparison.
pub(crate) fn text(comparison: &Comparison, paint: Paint) -> String {
    let runs = |side: usize| match comparison.runs[side] {
        1 => "1 run".to_owned(),
        runs => format!("{runs} runs"),
    };
    let mut text = format!(
        "A  {} ({})\nB  {} ({})\n\n",
        shown_in_line(&comparison.a),
        runs(0),
        shown_in_line(&comparison.b),
        runs(1)
    );
    let head = format!("{:<12} {:>12} {:>12} {:>10}   {:<22} B is", "", "A", "B", "difference", "95 % confidence");
    text += &format!("{}\n", paint.quiet(head.trim_end()));
    for figure in &comparison.figures {
        text += &row(figure, paint);
    }
    let verdict = match comparison.word {
        Word::Faster => paint.good("B is faster"),
        Word::Slower => paint.bad("B is slower"),
        Word::CannotTell => paint.number("cannot tell"),
    };
    text += &format!("\n{}: {}\n", paint.bold(&verdict), comparison.why);
    for warning in &comparison.warnings {
        text += &format!("{} {}\n", paint.quiet("note:"), shown_in_line(warning));
    }
    text
}

fn row(figure: &Compared, paint: Paint) -> String {
    let name = match figure.figure.as_str() {
        "rate" => "answers",
        "p999" => "p99.9",
        "failed" => "not answered",
        "bytes" => "bytes",
        name => name,
    };
    let value = |value: f64, is_bound: bool| {
        let shown = match figure.figure.as_str() {
            "rate" => rate(value),
            "failed" => percent(value),
            "bytes" => format!("{}/s", bytes(value)),
            _ => time(value),
        };
        format!("{}{shown}", if is_bound { ">= " } else { "" })
    };
    let points = figure.figure == "failed";
    let interval = match figure.interval {
        // Where a stall may have come or not, the interval is as wide as the stall is longer than an answer.
        Some([low, high]) if !points && low < -99.0 && high > 9900.0 => "may be anything".to_owned(),
        Some([low, high]) => format!("{} to {}", signed(low, points), signed(high, points)),
        None => "unknown".to_owned(),
    };
    let word = match (figure.word, points) {
        (Word::Faster, false) => paint.good("faster"),
        (Word::Slower, false) => paint.bad("slower"),
        (Word::Faster, true) => paint.good("better"),
        (Word::Slower, true) => paint.bad("worse"),
        (Word::CannotTell, _) => paint.quiet("cannot tell"),
    };
    let (a, b) = (value(figure.a, figure.censored[0]), value(figure.b, figure.censored[1]));
    format!("{name:<12} {a:>12} {b:>12} {:>10}   {interval:<22} {word}\n", signed(figure.difference, points))
}

/// A difference with its sign: in per cent, or in points of per cent.
fn signed(difference: f64, points: bool) -> String {
    let unit = if points { "pt" } else { "%" };
    match difference {
        small if small.abs() < 0.05 => format!("0 {unit}"),
        large if large >= 1000.0 => format!("{}x", count((large / 100.0 + 1.0) as u64)),
        difference => format!("{difference:+.1} {unit}"),
    }
}

/// A run in one line, where there are many.
pub(crate) fn short(report: &Report) -> String {
    let times = &report.latency_ms;
    if report.offered == 0 || report.is_bulk() {
        return format!("{}/s", bytes((report.bytes.sent + report.bytes.received) as f64 / report.seconds.max(1e-9)));
    }
    let at =
        |name: &str| format!("{}{}", if times.is_bound(name) { ">= " } else { "" }, time_if_any(times.named(name)));
    let missing = report.failed + report.unanswered;
    let missing = if missing > 0 {
        format!("   {} not {}", share(missing, report.offered), report.became())
    } else {
        String::new()
    };
    if times.count == 0 {
        return format!("{} {}{missing}", rate(report.rate), report.became());
    }
    format!("{} {}   p50 {}   p99 {}{missing}", rate(report.rate), report.became(), at("p50"), at("p99"))
}
