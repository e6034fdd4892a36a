//! The figures of a run, as text.

use hullo::{
    bench::{
        Report,
        report::{Latency, PERCENTILES},
        words::{bits, bytes, count, share, time, time_if_any},
    },
    html::escaped,
};

use super::{super::summary::way, Run, verdict};

/// The counters and percentiles, and what must be known to read them.
pub(super) fn card(Run { name, report }: &Run<'_>, is_named: bool) -> String {
    let heading = if is_named { format!("<h2>{}</h2>\n", escaped(name)) } else { String::new() };
    let label = if is_named { String::new() } else { " aria-label=\"Figures\"".to_owned() };
    let kinds: String = report
        .failures
        .iter()
        .map(|(kind, many)| format!("<li>{} <b>{}</b></li>", escaped(kind), count(*many)))
        .collect();
    let kinds =
        if kinds.is_empty() { kinds } else { format!("<ul class=\"kinds\" aria-label=\"Failures\">{kinds}</ul>\n") };
    let notes: String =
        verdict::notes(report).iter().map(|note| format!("<p class=\"note\">{}</p>\n", escaped(note))).collect();
    format!(
        "<section class=\"card\"{label}>\n{heading}{}{}{kinds}{notes}</section>\n",
        counters(report),
        percentiles(report)
    )
}

fn counters(report: &Report) -> String {
    let Report { offered, sent, answered, failed, unanswered, .. } = *report;
    let of_all = |many: u64| if many == 0 { String::new() } else { share(many, offered) };
    let mut figures = Vec::new();
    if offered > 0 && !report.is_bulk() {
        figures.extend([
            figure("", "Offered", &count(offered), ""),
            figure("", "Sent", &count(sent), &if sent < offered { of_all(sent) } else { String::new() }),
            figure("", &capital(report.became()), &count(answered), &of_all(answered)),
            figure(if failed > 0 { "bad" } else { "" }, "Failed", &count(failed), &of_all(failed)),
            figure(if unanswered > 0 { "gone" } else { "" }, "Unanswered", &count(unanswered), &of_all(unanswered)),
        ]);
    }
    for (name, moved) in [("Sent to the server", report.bytes.sent), ("Received", report.bytes.received)] {
        if moved > 0 && (offered == 0 || report.is_bulk()) {
            let per_second = moved as f64 / report.seconds.max(1e-9);
            figures.push(figure("", name, &bytes(moved as f64), &bits(per_second)));
        }
    }
    list(figures)
}

fn percentiles(report: &Report) -> String {
    let latency = &report.latency_ms;
    if latency.count == 0 {
        return String::new();
    }
    let one = |(key, said): (&str, &str)| {
        let value = time_if_any(latency.named(key));
        figure("", &capital(said), &format!("{}{value}", verdict::at_least(report, key)), "")
    };
    list(figures().map(one).collect())
}

/// The names of all figures of times: as reports have them, and as people say them.
fn figures() -> impl Iterator<Item = (&'static str, &'static str)> {
    PERCENTILES.into_iter().map(|(key, said, _)| (key, said)).chain([("mean", "mean")])
}

/// A word as it begins a line. Percentiles are written small.
fn capital(word: &str) -> String {
    let mut letters = word.chars();
    match letters.next().filter(|_| !word.contains(|c: char| c.is_ascii_digit())) {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => word.to_owned(),
    }
}

fn list(figures: Vec<String>) -> String {
    if figures.is_empty() { String::new() } else { format!("<dl class=\"figures\">{}</dl>\n", figures.concat()) }
}

fn figure(tone: &str, name: &str, value: &str, more: &str) -> String {
    let more = if more.is_empty() { String::new() } else { format!("<dd>{}</dd>", escaped(more)) };
    format!("<div class=\"{tone}\"><dt>{name}</dt><dd>{}</dd>{more}</div>", escaped(value))
}

/// The plan and what else was measured.
pub(super) fn tables(Run { name, report }: &Run<'_>, is_named: bool) -> String {
    let of = if is_named { format!(": {}", escaped(name)) } else { String::new() };
    format!(
        "<div class=\"tables\">\n<section class=\"card\"><h2>Plan{of}</h2>{}</section>\n\
         <section class=\"card\"><h2>Times{of}</h2>{}{}</section>\n</div>\n",
        pairs("plan", &plan(report)),
        times(report),
        pairs("more", &more(report))
    )
}

fn plan(report: &Report) -> Vec<(&'static str, String)> {
    let plan = &report.plan;
    let seconds = verdict::duration;
    let mut rows = vec![
        ("Target", report.target.clone()),
        ("Load", load(&report.shape, report.noun() == "datagram").to_owned()),
        ("Loop", if report.is_open() { "open, by schedule" } else { "closed" }.to_owned()),
    ];
    rows.extend(plan.rate.clone().map(|rate| match report.bit_rate {
        Some(_) => ("Rate", rate),
        None => ("Rate", format!("{rate} {}s a second", report.noun())),
    }));
    rows.extend([
        ("Connections", count(plan.connections as u64)),
        ("Under way on each", plan.depth.to_string()),
        ("Threads", plan.threads.to_string()),
    ]);
    rows.extend(plan.duration.map(|duration| ("Duration", seconds(duration))));
    rows.extend(plan.count.map(|most| match report.is_bulk() {
        true => ("Bytes at most", count(most)),
        false => ("At most", report.offers(most)),
    }));
    if plan.warm_up > 0.0 {
        rows.push(("Warm-up", seconds(plan.warm_up)));
    }
    rows.extend([
        ("Timeout", seconds(plan.timeout)),
        ("Seed", plan.seed.to_string()),
        ("Began", report.started.clone()),
        ("Lasted", seconds(report.seconds)),
        ("Made with", format!("hullo {}", report.hullo)),
    ]);
    rows
}

fn load(shape: &str, has_packets: bool) -> &str {
    match shape {
        "ask" => "messages and their replies",
        "http" => "HTTP requests",
        "up" if has_packets => "datagrams to the server, which counts them",
        "up" => "bulk to the server",
        "down" => "bulk from the server",
        "both" => "bulk both ways",
        "connect" => "connections only",
        other => other,
    }
}

/// Percentiles of everything that took time, a column each.
fn times(report: &Report) -> String {
    let all = [
        ("Latency", &report.latency_ms),
        ("Of failures", &report.failed_ms),
        ("Own lag", &report.lag_ms),
        ("Connecting", &report.connect_ms),
    ];
    let some: Vec<_> = all.into_iter().filter(|(_, times)| times.count > 0).collect();
    if some.is_empty() {
        return "<p class=\"note\">Nothing was measured.</p>".to_owned();
    }
    let cells = |cell: &str, texts: &mut dyn Iterator<Item = String>| {
        texts.map(|text| format!("<{cell} class=\"number\">{text}</{cell}>")).collect::<String>()
    };
    let heads = cells("th", &mut some.iter().map(|(name, _)| (*name).to_owned()));
    let row = |(key, said): (&str, &str)| {
        let name = capital(said);
        let text = |(_, times): &(&str, &Latency)| {
            let value = time_if_any(times.named(key));
            format!("{}{value}", if times.is_bound(key) { "≥\u{a0}" } else { "" })
        };
        format!("<tr><th scope=\"row\">{name}</th>{}</tr>", cells("td", &mut some.iter().map(text)))
    };
    let rows: String = figures().map(row).collect();
    let counts = cells("td", &mut some.iter().map(|(_, times)| count(times.count)));
    format!(
        "<div class=\"scroll\"><table><thead><tr><td></td>{heads}</tr></thead><tbody>{rows}\
         <tr><th scope=\"row\">Count</th>{counts}</tr></tbody></table></div>"
    )
}

/// Connections, statuses, bytes, packets and what the load cost.
fn more(report: &Report) -> Vec<(&'static str, String)> {
    let mut rows = vec![("Connections", format!("{} opened", count(report.connections.opened)))];
    if report.connections.failed > 0 {
        rows.push(("", format!("{} could not be opened", count(report.connections.failed))));
    }
    if !report.statuses.is_empty() {
        let status = |(status, many): (&String, &u64)| format!("{status}: {}", count(*many));
        rows.push(("Statuses", report.statuses.iter().map(status).collect::<Vec<_>>().join(", ")));
    }
    rows.push((
        "Bytes",
        format!("{} sent, {} received", bytes(report.bytes.sent as f64), bytes(report.bytes.received as f64)),
    ));
    rows.extend(
        report.bit_rate.map(|rate| {
            ("Bit rate", format!("{} of {} by schedule", bits(rate.reached / 8.0), bits(rate.offered / 8.0)))
        }),
    );
    if let Some(packets) = &report.packets {
        let some = [
            (packets.lost, "lost"),
            (packets.late, "late"),
            (packets.kernel_drops, "dropped by the kernel at a full buffer here or there"),
            (packets.reordered, "reordered"),
            (packets.duplicates, "came twice"),
        ];
        let some = some.iter().filter(|(many, what)| *many > 0 || *what == "lost");
        let some: Vec<_> = some.map(|(many, what)| format!("{} {what}", count(*many))).collect();
        let jitter = format!("{} jitter {}", way(packets), time(packets.jitter_ms));
        rows.push(("Packets", format!("{}; {jitter}", some.join(", "))));
    }
    let cpu = &report.cpu;
    if cpu.seconds > 0.0 {
        let busiest = hullo::bench::words::percent(cpu.busiest * 100.0);
        rows.push((
            "Generator",
            format!("{} of processor time, its busiest thread at {busiest}", time(cpu.seconds * 1e3)),
        ));
    }
    rows
}

fn pairs(class: &str, rows: &[(&str, String)]) -> String {
    let row =
        |(name, value): &(&str, String)| format!("<tr><th scope=\"row\">{name}</th><td>{}</td></tr>", escaped(value));
    format!("<table class=\"{class}\"><tbody>{}</tbody></table>", rows.iter().map(row).collect::<String>())
}
