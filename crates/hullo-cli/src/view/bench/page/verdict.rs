//! What was done and what came of it, in sentences.

use std::time::Duration;

use hullo::{
    bench::{
        Report,
        words::{bits, bytes, count, rate, share, time, time_if_any},
    },
    html::escaped,
};

use super::{super::summary, Run, Word};

/// What was done: the loop, the rate, how long, when, and by whom.
pub(super) fn how(runs: &[Run<'_>]) -> String {
    runs.first().map_or_else(String::new, |run| done(run.report))
}

fn done(report: &Report) -> String {
    let plan = &report.plan;
    let pace = plan.rate.as_ref().map_or_else(String::new, |rate| match report.bit_rate {
        Some(_) => format!(", {rate}"),
        None => format!(", {rate} {}s a second", report.noun()),
    });
    let what = match (&*report.shape, plan.connections) {
        ("up", many) if report.noun() == "datagram" => {
            format!("Datagrams to the server{pace} over {}", connections(many))
        }
        ("up", many) => format!("Bulk to the server{pace} over {}", connections(many)),
        ("down", many) => format!("Bulk from the server{pace} over {}", connections(many)),
        ("both", many) => format!("Bulk both ways{pace} over {}", connections(many)),
        ("connect", many) => format!("Connecting, {} at once", count(many as u64)),
        (_, many) => match &plan.rate {
            Some(_) => format!("Open loop{pace} over {}", connections(many)),
            None => format!("Closed loop over {}", connections(many)),
        },
    };
    let depth = if plan.depth > 1 { format!(", {} requests under way on each", plan.depth) } else { String::new() };
    let lasted = duration(report.seconds);
    format!("{what}{depth}, for {lasted}. {}, hullo {}.", moment(&report.started), report.hullo)
}

/// A time that was asked for, or that a run took: `10s`, `1m 30s`.
pub(in super::super) fn duration(seconds: f64) -> String {
    // What is long is not told to the thousandth.
    let ms = if seconds < 60.0 { (seconds * 1e3).round() } else { seconds.round() * 1e3 };
    if ms < 1.0 {
        time(seconds * 1e3)
    } else {
        humantime::format_duration(Duration::from_millis(ms as u64)).to_string()
    }
}

fn connections(many: usize) -> String {
    format!("{} connection{}", count(many as u64), if many == 1 { "" } else { "s" })
}

/// A moment of RFC 3339 as people write it; to the minute, since the table has it whole.
pub(super) fn moment(started: &str) -> String {
    let at = started.parse::<jiff::Timestamp>().map(|at| at.strftime("%-d %B %Y, %H:%M UTC").to_string());
    at.unwrap_or_else(|_| started.to_owned())
}

/// What came of it: of each run, and whatever else there is to be said.
pub(super) fn verdicts(runs: &[Run<'_>], words: &[Word]) -> String {
    let own = runs.iter().map(|run| {
        let name = if runs.len() > 1 { format!("{}: ", run.name) } else { String::new() };
        (tone(run.report), format!("{name}{}", sentence(run.report)))
    });
    let said = words.iter().map(|word| (if word.is_bad { "bad" } else { "" }, word.text.clone()));
    let line = |(tone, text): (&str, String)| format!("<p class=\"verdict {tone}\">{}</p>\n", escaped(&text));
    said.chain(own).map(line).collect()
}

fn tone(report: &Report) -> &'static str {
    match report {
        Report { failed: 1.., .. } => "bad",
        Report { offered: 1.., answered: 0, .. } => "bad",
        Report { unanswered: 1.., .. } => "warn",
        _ => "",
    }
}

/// What came of a run, in one line.
pub(super) fn sentence(report: &Report) -> String {
    let Report { offered, answered, failed, unanswered, .. } = *report;
    if offered == 0 || report.is_bulk() {
        return bulk(report);
    }
    let became = report.became();
    // What arrives does so by itself.
    let be = |be: &str| if became == "arrived" { became.to_owned() } else { format!("{be} {became}") };
    let were = be("were");
    if answered == 0 {
        return format!("None of {} came to anything: {}.", report.offers(offered), others(failed, unanswered));
    }
    let whole = match (answered == offered, offered) {
        (true, 1) => format!("The only {} {}.", report.noun(), be("was")),
        (true, _) => format!("All {} {were}, {}.", report.offers(offered), rate(report.rate)),
        (false, _) => format!(
            "{} of {} {were} ({}), {}; {}.",
            count(answered),
            report.offers(offered),
            share(answered, offered),
            rate(report.rate),
            others(failed, unanswered)
        ),
    };
    let latency = &report.latency_ms;
    let figure = |name: &str| {
        let value = time_if_any(latency.named(name));
        format!("{name} {}{value}", at_least(report, name)).replace(' ', "\u{a0}")
    };
    if latency.count == 0 {
        return whole;
    }
    format!("{whole} {}, {}.", figure("p50"), figure("p99"))
}

/// The mark of a figure that is a lower bound.
pub(super) fn at_least(report: &Report, name: &str) -> &'static str {
    if report.latency_ms.is_bound(name) { "≥\u{a0}" } else { "" }
}

fn others(failed: u64, unanswered: u64) -> String {
    let parts = [(failed, "failed"), (unanswered, "had no answer by the end")];
    let parts = parts.iter().filter(|(many, _)| *many > 0).map(|(many, what)| format!("{} {what}", count(*many)));
    parts.collect::<Vec<_>>().join(" and ")
}

fn bulk(report: &Report) -> String {
    let way = |moved: u64, word: &str| {
        let per_second = moved as f64 / report.seconds.max(1e-9);
        (moved > 0).then(|| format!("{} {word}, {}", bytes(moved as f64), bits(per_second)))
    };
    let ways = [way(report.bytes.sent, "sent"), way(report.bytes.received, "received")];
    let ways: Vec<_> = ways.into_iter().flatten().collect();
    let failed = if report.failed > 0 {
        format!(" {} of {} failed.", count(report.failed), report.offers(report.offered))
    } else {
        String::new()
    };
    match ways.is_empty() {
        true => format!("Nothing was asked, and nothing came.{failed}"),
        false => format!("{}.{failed}", ways.join("; ")),
    }
}

/// What must be known to read the figures.
pub(super) fn notes(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    if !report.latency_ms.censored.is_empty() {
        notes.push(format!(
            "≥ is a lower bound: {} had no answer when the run ended. Each counts with the time that it had waited by then, \
             and would have had to wait longer.",
            report.offers(report.unanswered)
        ));
    }
    notes.extend(summary::without(report).map(|note| format!("Note: {note}.")));
    if !report.is_open() && matches!(&*report.shape, "ask" | "http") {
        notes.push(
            "The loop was closed: each connection asked again only once it had been answered. What a slow server was not \
             asked meanwhile is in no figure; a rate would show it."
                .to_owned(),
        );
    }
    if let Some(why) = report.generator_limit() {
        notes.push(format!("The generator was the limit, so the figures are its own: {why}."));
    }
    notes.extend(report.generator_lag().map(|share| format!("Note: {share}.")));
    notes.extend(report.notes.iter().cloned());
    notes
}
