//! What a load test says when it is over, in lines: the same in a terminal and in a pipe, but for colours.

use std::collections::BTreeMap;

use hullo::bench::{
    Packets, Report,
    report::{Latency, PERCENTILES},
    words::{bits, bytes, count, percent, rate, share, time, time_if_any},
};

use super::spectrum;
use crate::{report::shown_in_line, view::paint::Paint};

/// No more stalls than this are told.
const STALLS: usize = 3;

/// The whole of it.
pub(crate) fn text(report: &Report, paint: Paint) -> String {
    let mut page = Page { report, paint, text: String::new() };
    page.title();
    page.how();
    page.requests();
    page.latencies();
    page.moved();
    page.packets();
    page.around();
    page.warnings();
    page.text
}

/// One line that says what was done and how it went.
pub(crate) fn title(report: &Report) -> String {
    let target = shown_in_line(&report.target);
    let load = match report.shape.as_str() {
        "up" | "down" | "both" => {
            format!("bytes {} at {target}", if report.shape == "both" { "both ways" } else { &report.shape })
        }
        "connect" => format!("connecting to {target}"),
        _ => target,
    };
    let many = report.connections.asked;
    let with = format!("{} connection{}", count(many as u64), if many == 1 { "" } else { "s" });
    let came = match report.offered {
        offered if offered == 0 || report.is_bulk() => {
            bits((report.bytes.sent + report.bytes.received) as f64 / report.seconds.max(1e-9))
        }
        offered => format!("{} of {} {}", share(report.answered, offered), report.offers(offered), report.became()),
    };
    format!("{load} for {} with {with}: {came}", time(report.seconds * 1e3))
}

struct Page<'a> {
    report: &'a Report,
    paint: Paint,
    text: String,
}

impl Page<'_> {
    fn line(&mut self, label: &str, text: &str) {
        let label = self.paint.quiet(&format!("{label:<12}"));
        self.text += &format!("{label} {text}\n");
    }

    /// A sentence that belongs to the lines above it.
    fn note(&mut self, text: &str) {
        self.text += &format!("             {}\n", self.paint.quiet(text));
    }

    fn gap(&mut self) {
        self.text.push('\n');
    }

    fn title(&mut self) {
        let title = self.paint.bold(&title(self.report));
        self.text += &format!("{title}\n");
    }

    /// Which loop it was, and what that hides.
    fn how(&mut self) {
        let report = self.report;
        if report.offered == 0 {
            return;
        }
        let planned = report.plan.rate.as_deref().unwrap_or_default();
        if report.is_bulk() {
            self.text += &match report.is_open() {
                true => format!("bulk: {planned} by schedule, of which each connection carries an even share\n"),
                false => "bulk: each connection carries as much as goes\n".to_owned(),
            };
            return;
        }
        if report.is_open() {
            // A ramp and steps say their time themselves.
            let a_second = planned.parse().map_or_else(|_| planned.to_owned(), rate);
            let text =
                format!("open loop: {a_second} by schedule, latency counts from when a request should have gone\n");
            self.text += &text;
            return;
        }
        if report.shape == "up" {
            self.text += "closed loop: datagrams go as fast as they leave; --rate 50000 sends so many a second\n";
            return;
        }
        let places = report.plan.connections * report.plan.depth;
        self.text += &format!(
            "closed loop: {places} at a time, each asks again once it is answered, latency counts from when it asks\n\
             (while the target stalls nothing is asked, so waits that users would have are in no figure: for those type \
             --rate {})\n",
            comfortable(report.rate)
        );
    }

    fn requests(&mut self) {
        let report = self.report;
        // Of bulk the connections are counted, which is of interest only where one of them broke.
        if report.offered == 0 || report.is_bulk() && report.failed == 0 {
            return;
        }
        self.gap();
        let (failed, unanswered) = (count(report.failed), count(report.unanswered));
        let wrong = |number: u64, text: String| if number > 0 { self.paint.bad(&text) } else { text };
        let text = format!(
            "offered {}   sent {}   {} {}   {}   {}",
            count(report.offered),
            count(report.sent),
            report.became(),
            count(report.answered),
            wrong(report.failed, format!("failed {failed}")),
            wrong(report.unanswered, format!("unanswered {unanswered}")),
        );
        self.line(&format!("{}s", report.noun()), &text);
        let offered = report.offered as f64 / report.seconds.max(1e-9);
        let beside = if report.is_open() { format!("   (offered {})", rate(offered)) } else { String::new() };
        self.line("rate", &format!("{} {}{beside}", rate(report.rate), report.became()));
        if !report.failures.is_empty() {
            self.line("failed", &by_number(&report.failures));
        }
        if report.failed_ms.count > 0 {
            self.note(&format!("until they failed: {}", short(&report.failed_ms)));
        }
        if report.unanswered > 0 {
            let never = report.offered.saturating_sub(report.sent);
            let sent = match never {
                0 => String::new(),
                never if never >= report.unanswered => ", and could not even be sent".to_owned(),
                never => format!(", and {} of them could not even be sent", count(never)),
            };
            let what =
                if report.became() == "arrived" { "did not arrive" } else { "had no answer when the time was over" };
            self.note(&format!("{} {what}{sent}", report.offers(report.unanswered)));
        }
        if !report.statuses.is_empty() {
            self.line("statuses", &by_number(&report.statuses));
        }
    }

    fn latencies(&mut self) {
        let times = &self.report.latency_ms;
        if times.count == 0 {
            return;
        }
        self.gap();
        for (at, (name, said, _)) in PERCENTILES.into_iter().enumerate() {
            let value = time_if_any(times.named(name));
            let sign = if times.is_bound(name) { ">=" } else { "  " };
            let line = format!("{said:<6} {sign} {value}");
            let line = if sign == ">=" { self.paint.number(&line) } else { line };
            self.line(if at == 0 { "latency" } else { "" }, &line);
        }
        let sign = if times.is_bound("mean") { ">= " } else { "" };
        self.note(&in_words(times, sign));
        if !times.censored.is_empty() {
            self.note(&format!(
                ">= means at least: {} had no answer by the end, and would have taken longer than it was waited for",
                self.report.offers(self.report.unanswered)
            ));
        }
        if let Some(note) = without(self.report) {
            self.note(&note);
        }
        self.stalls();
        for (at, line) in spectrum::lines(self.report).into_iter().enumerate() {
            if at == 0 {
                self.gap();
            }
            self.line(if at == 0 { "answers" } else { "" }, &line);
        }
    }

    /// What long latencies are made of: who reads of them did not see the target stand still.
    fn stalls(&mut self) {
        let report = self.report;
        let stalls = report.stalls();
        for stall in stalls.iter().take(STALLS) {
            let when = format!("from {} to {} hardly anything was answered", second(stall.from), second(stall.to));
            let text = match report.is_open() {
                true => format!(
                    "{when}: {} were due meanwhile and had to wait, which is what the long latencies are",
                    report.offers(stall.due)
                ),
                false => format!(
                    "{when}; only {} were asked meanwhile, so the percentiles hardly show it",
                    report.offers(stall.due)
                ),
            };
            let text = self.paint.number(&text);
            self.note(&text);
        }
        if stalls.len() > STALLS {
            self.note(&format!("and {} more times, though not for as long", stalls.len() - STALLS));
        }
    }

    fn moved(&mut self) {
        let report = self.report;
        self.gap();
        let each = |moved: u64| {
            let a_second = moved as f64 / report.seconds.max(1e-9);
            format!("{} ({}/s, {})", bytes(moved as f64), bytes(a_second), bits(a_second))
        };
        self.line("sent", &each(report.bytes.sent));
        self.line("received", &each(report.bytes.received));
        if let Some(rate) = report.bit_rate {
            self.line("bit rate", &format!("{}   (offered {})", bits(rate.reached / 8.0), bits(rate.offered / 8.0)));
        }
        if let Some(each) = report.per_connection.filter(|_| report.connections.asked > 1) {
            self.note(&format!("single connections: from {} to {}", bits(each.slowest), bits(each.fastest)));
        }
    }

    fn packets(&mut self) {
        let Some(packets) = &self.report.packets else { return };
        let part = |number: u64| format!("{} ({})", count(number), share(number, self.report.sent.max(number)));
        // What the other end counts has no time to be there by.
        let late = if is_one_way(packets) { String::new() } else { format!("   late {}", part(packets.late)) };
        let text = format!(
            "lost {}{late}   reordered {}   duplicates {}   {} jitter {}",
            part(packets.lost),
            count(packets.reordered),
            count(packets.duplicates),
            way(packets),
            time(packets.jitter_ms),
        );
        self.line("packets", &text);
        let by = if is_one_way(packets) { "one way, by the other end" } else { "there and back, by this end" };
        self.note(&format!("measured {by}"));
        if packets.late > 0 {
            let timeout = time(self.report.plan.timeout * 1e3);
            self.note(&format!(
                "late means after the timeout of {timeout}, or when the time was over: unanswered, but not lost"
            ));
        }
        if packets.kernel_drops > 0 {
            let drops = count(packets.kernel_drops);
            self.note(&format!(
                "{drops} more were dropped by the kernel of an end whose buffer was full: the network did not lose them"
            ));
        }
    }

    /// The connections, and the generator itself.
    fn around(&mut self) {
        let report = self.report;
        let connections = report.connections;
        let mut text = format!("asked {}   opened {}", count(connections.asked as u64), count(connections.opened));
        if connections.failed > 0 {
            text += &format!("   {}", self.paint.bad(&format!("failed {}", count(connections.failed))));
        }
        self.line("connections", &text);
        if report.connect_ms.count > 0 {
            self.note(&format!("until one stood: {}", short(&report.connect_ms)));
        }
        let lag = &report.lag_ms;
        let late = if lag.count > 0 { format!("its own lag: {}", short(lag)) } else { "never late".to_owned() };
        let busy = percent(report.cpu.busiest * 100.0);
        self.line(
            "generator",
            &format!("{late}; {} of CPU, its busiest thread {busy} busy", time(report.cpu.seconds * 1e3)),
        );
    }

    fn warnings(&mut self) {
        let report = self.report;
        let connections = report.connections;
        let mut warnings = Vec::new();
        if connections.opened < connections.asked as u64 {
            warnings.push(format!(
                "only {} of {} connections could be opened: the load was that of fewer",
                count(connections.opened),
                count(connections.asked as u64)
            ));
        }
        let (limit, lag) = (report.generator_limit(), report.generator_lag());
        warnings
            .extend(limit.iter().map(|why| format!("the generator was the limit, so the figures are its own: {why}")));
        warnings.extend(report.notes.iter().map(|note| shown_in_line(note)));
        // A target that answers within microseconds is measured no better than the generator is woken up.
        let lag = lag.filter(|_| limit.is_none()).map(|why| format!("the generator itself is in these figures: {why}"));
        if lag.is_some() || !warnings.is_empty() {
            self.gap();
        }
        for warning in warnings {
            self.text += &format!("{} {warning}\n", self.paint.bad("warning:"));
        }
        if let Some(note) = lag {
            self.text += &format!("{} {note}\n", self.paint.quiet("note:"));
        }
    }
}

/// Whether the other end has measured.
fn is_one_way(packets: &Packets) -> bool {
    packets.measured == "there"
}

/// What kind of jitter it is.
pub(super) fn way(packets: &Packets) -> &'static str {
    if is_one_way(packets) { "one-way" } else { "round-trip" }
}

/// Whose times are missing, where some were given up: of all that failed, those would have been the longest.
pub(super) fn without(report: &Report) -> Option<String> {
    let many = report.timed_out();
    let after = time(report.plan.timeout * 1e3);
    (many > 0)
        .then(|| format!("latency is that of answers: {} that timed out after {after} are not in it", count(many)))
}

/// The three figures that say the most.
fn short(times: &Latency) -> String {
    let [p50, p99, max] = [times.p50, times.p99, times.max].map(time_if_any);
    format!("p50 {p50}, p99 {p99}, max {max}")
}

/// Percentiles as whoever never met one believes them.
fn in_words(times: &Latency, sign: &str) -> String {
    let [p50, p99, mean] = [times.p50, times.p99, times.mean].map(time_if_any);
    let half = match times.is_bound("p50") {
        true => format!("half took {p50} or more"),
        false => format!("half were answered within {p50}"),
    };
    // Of fewer than a hundred, nobody is the one in a hundred.
    let slow = if times.count < 100 { String::new() } else { format!("; one in a hundred took {p99} or more") };
    format!("{half}{slow}; mean {sign}{mean}")
}

/// How often there was what, the most frequent first.
fn by_number(counts: &BTreeMap<String, u64>) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
    let each = |(what, number): (&String, &u64)| format!("{}: {}", shown_in_line(what), count(*number));
    counts.into_iter().map(each).collect::<Vec<_>>().join("   ")
}

/// A rate that a target which reached that one can keep: two digits of 70 % of it.
fn comfortable(rate: f64) -> u64 {
    let comfortable = (rate * 0.7).max(1.0);
    let digit = 10_f64.powf(comfortable.log10().floor() - 1.0).max(1.0);
    ((comfortable / digit).floor() * digit) as u64
}

/// A moment of the run.
fn second(seconds: f64) -> String {
    format!("{} s", (seconds * 100.0).round() / 100.0)
}
