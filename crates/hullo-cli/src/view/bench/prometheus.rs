//! `hullo bench --prometheus FILE`: the figures as Prometheus reads them from a file.
//!
//! It is the text format (version 0.0.4), which node_exporter's textfile collector and the Pushgateway take.

use std::fmt::Write;

use hullo::bench::{
    Report,
    report::{Latency, PERCENTILES},
};

use super::summary::way;

/// The whole page.
pub(crate) fn page(report: &Report) -> String {
    let mut page = Page { labels: labels(report), text: String::new() };
    page.requests(report);
    page.latencies(report);
    page.around(report);
    page.text
}

struct Page {
    /// Those that every figure of the run has.
    labels: String,
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, about: &str) {
        // Writing to a text cannot fail.
        let _ = write!(self.text, "# HELP hullo_bench_{name} {about}.\n# TYPE hullo_bench_{name} {kind}\n");
    }

    fn sample(&mut self, name: &str, more: &[(&str, &str)], value: f64) {
        let more: String = more.iter().map(|(name, value)| format!(",{name}=\"{}\"", escaped(value))).collect();
        let _ = writeln!(self.text, "hullo_bench_{name}{{{}{more}}} {value}", self.labels);
    }

    fn requests(&mut self, report: &Report) {
        self.family("requests_total", "counter", "Requests by what became of them");
        for (became, number) in [("answered", report.answered), ("unanswered", report.unanswered)] {
            self.sample("requests_total", &[("outcome", became)], number as f64);
        }
        self.sample("requests_total", &[("outcome", "failed")], report.failed as f64);
        for (name, about, number) in [
            ("offered_total", "Requests that should have gone", report.offered),
            ("sent_total", "Requests that went", report.sent),
        ] {
            self.family(name, "counter", about);
            self.sample(name, &[], number as f64);
        }
        self.by("failures_total", "Failed requests by kind", "kind", report.failures.iter());
        self.by("statuses_total", "Responses by HTTP status", "status", report.statuses.iter());
        self.family("answers_per_second", "gauge", "Answers a second");
        self.sample("answers_per_second", &[], report.rate);
    }

    fn by<'a>(&mut self, name: &str, about: &str, label: &str, counts: impl Iterator<Item = (&'a String, &'a u64)>) {
        let mut counts = counts.peekable();
        if counts.peek().is_some() {
            self.family(name, "counter", about);
        }
        for (what, number) in counts {
            self.sample(name, &[(label, what)], *number as f64);
        }
    }

    fn latencies(&mut self, report: &Report) {
        let about = "From when a request should have gone until its answer was whole, or until the end came first";
        self.times("latency_seconds", about, &report.latency_ms);
        let bounds = &report.latency_ms;
        if let Some(max) = bounds.max {
            let about = "1 where the end cut a figure of the latency off, so that it is only a lower bound";
            self.family("latency_is_lower_bound", "gauge", about);
            for (name, ..) in PERCENTILES {
                self.sample("latency_is_lower_bound", &[("figure", name)], f64::from(u8::from(bounds.is_bound(name))));
            }
            self.family("latency_max_seconds", "gauge", "The longest of all latencies");
            self.sample("latency_max_seconds", &[], max / 1e3);
        }
        self.times("failed_latency_seconds", "The same of requests that failed", &report.failed_ms);
        self.times("lag_seconds", "How late requests left by the generator's own fault", &report.lag_ms);
        self.times("connect_seconds", "Until a connection stood", &report.connect_ms);
    }

    fn times(&mut self, name: &str, about: &str, times: &Latency) {
        let Some(mean) = times.mean else { return };
        self.family(name, "summary", about);
        // The longest of all is no quantile to Prometheus, but a figure of its own.
        for (of, _, share) in PERCENTILES.into_iter().filter(|(_, _, share)| *share < 1.0) {
            if let Some(time) = times.named(of) {
                self.sample(name, &[("quantile", &share.to_string())], time / 1e3);
            }
        }
        self.sample(&format!("{name}_sum"), &[], mean * times.count as f64 / 1e3);
        self.sample(&format!("{name}_count"), &[], times.count as f64);
    }

    fn around(&mut self, report: &Report) {
        self.family("bytes_total", "counter", "Bytes that moved, by direction");
        self.sample("bytes_total", &[("direction", "sent")], report.bytes.sent as f64);
        self.sample("bytes_total", &[("direction", "received")], report.bytes.received as f64);
        self.family("connections_total", "counter", "Connections that were tried, by outcome");
        self.sample("connections_total", &[("outcome", "opened")], report.connections.opened as f64);
        self.sample("connections_total", &[("outcome", "failed")], report.connections.failed as f64);
        if let Some(packets) = &report.packets {
            self.family("packets_total", "counter", "Packets that did not come once and in order, by what befell them");
            for (what, number) in [
                ("lost", packets.lost),
                ("late", packets.late),
                ("reordered", packets.reordered),
                ("duplicated", packets.duplicates),
                ("dropped_by_kernel", packets.kernel_drops),
            ] {
                self.sample("packets_total", &[("outcome", what)], number as f64);
            }
            self.family(
                "packet_jitter_seconds",
                "gauge",
                "How much the time of travel varies, one way or there and back (RFC 3550)",
            );
            self.sample("packet_jitter_seconds", &[("way", way(packets))], packets.jitter_ms / 1e3);
        }
        if let Some(rate) = report.bit_rate {
            self.family("bits_per_second", "gauge", "Bits a second, of a load whose rate is one of bits");
            self.sample("bits_per_second", &[("which", "offered")], rate.offered);
            self.sample("bits_per_second", &[("which", "reached")], rate.reached);
        }
        for (name, about, value) in [
            ("duration_seconds", "How long what counts lasted", report.seconds),
            ("generator_cpu_seconds", "Processor time of the generator", report.cpu.seconds),
            (
                "generator_busy_ratio",
                "Share of the time that the busiest thread of the generator was busy",
                report.cpu.busiest,
            ),
        ] {
            self.family(name, "gauge", about);
            self.sample(name, &[], value);
        }
    }
}

fn labels(report: &Report) -> String {
    let mut labels = format!(
        "target=\"{}\",shape=\"{}\",loop=\"{}\",connections=\"{}\"",
        escaped(&report.target),
        escaped(&report.shape),
        escaped(&report.loop_),
        report.plan.connections
    );
    if let Some(rate) = &report.plan.rate {
        let _ = write!(labels, ",rate=\"{}\"", escaped(rate));
    }
    labels
}

/// The value of a label, as the format has it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
