//! What a generator says at its end, each in its own way, as figures that can be put side by side.

use serde_json::Value;

/// What one run has shown. Rates are per second, times are milliseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    pub(crate) rate: f64,
    /// All that was done from beginning to end, which is what the CPU-seconds went into.
    pub(crate) work: f64,
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
}

/// Whose words they are, and what of them counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reads {
    /// The one line of JSON of our C programs, and of `hullo bench --json`: answers.
    Answers,
    /// The same: bytes that were heard.
    Heard,
    /// The same: bytes that were sent.
    Sent,
    Wrk,
    H2load,
    Iperf3,
    /// Messages sent, of the mode that wants no replies.
    SockperfSent,
    /// Messages that came back.
    SockperfHeard,
}

impl Reads {
    /// The figures in what was printed; nothing where they are not there.
    pub(crate) fn figures(self, text: &str) -> Option<Figures> {
        let figures = match self {
            Self::Answers | Self::Heard | Self::Sent => ours(self, text),
            Self::Wrk => wrk(text),
            Self::H2load => h2load(text),
            Self::Iperf3 => iperf3(text),
            Self::SockperfSent => sockperf_sent(text),
            Self::SockperfHeard => sockperf_heard(text),
        };
        figures.filter(|figures| figures.rate > 0.0)
    }
}

/// Our C programs print one line behind another that says that they are ready; the command prints an object that may be
/// laid out over several.
fn ours(reads: Reads, text: &str) -> Option<Figures> {
    let report: Value = serde_json::from_str(text.get(text.find('{')?..)?).ok()?;
    let seconds = report["seconds"].as_f64()?;
    let bytes = &report["bytes"];
    let work = match reads {
        Reads::Heard => bytes.as_f64().or_else(|| bytes["received"].as_f64())?,
        Reads::Sent => bytes.as_f64().or_else(|| bytes["sent"].as_f64())?,
        _ => report["answered"].as_f64()?,
    };
    let latency = |name: &str| report["latency_ms"][name].as_f64();
    Some(Figures { rate: work / seconds, work, p50: latency("p50"), p99: latency("p99") })
}

/// `  64903 requests in 1.01s, 4.83MB read`, and `     99%    3.21ms`. Its rate is over its own time.
fn wrk(text: &str) -> Option<Figures> {
    let line = text.lines().find(|line| line.contains(" requests in "))?;
    let work = line.split_whitespace().next()?.parse().ok()?;
    let rate = behind(text, "Requests/sec:")?;
    let latency = |share: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(share))?;
        milliseconds(line.trim())
    };
    Some(Figures { rate, work, p50: latency("50%"), p99: latency("99%") })
}

/// `finished in 1.00s, 12345.67 req/s, 1.2MB/s`, and `requests: 12345 total, …`. It prints no percentiles.
fn h2load(text: &str) -> Option<Figures> {
    let line = text.lines().find(|line| line.starts_with("finished in "))?;
    let rate = line.split(", ").find_map(|part| part.strip_suffix(" req/s"))?.parse().ok()?;
    let counts = text.lines().find_map(|line| line.strip_prefix("requests: "))?;
    let work = counts.split(", ").find_map(|part| part.strip_suffix(" succeeded"))?.parse().ok()?;
    Some(Figures { rate, work, p50: None, p99: None })
}

fn iperf3(text: &str) -> Option<Figures> {
    let report: Value = serde_json::from_str(text).ok()?;
    let sent = &report["end"]["sum_sent"];
    let work = sent["bytes"].as_f64()?;
    Some(Figures { rate: work / sent["seconds"].as_f64()?, work, p50: None, p99: None })
}

/// `sockperf: Total of 129055 messages sent in 1.004 sec`.
fn sockperf_sent(text: &str) -> Option<Figures> {
    let (work, seconds) = (behind(text, "Total of ")?, behind(text, "messages sent in ")?);
    Some(Figures { rate: work / seconds, work, p50: None, p99: None })
}

/// `sockperf: [Total Run] RunTime=1.001 sec; …; ReceivedMessages=56806`, and percentiles of half the way there and back.
fn sockperf_heard(text: &str) -> Option<Figures> {
    let (seconds, work) = (behind(text, "RunTime=")?, behind(text, "ReceivedMessages=")?);
    let latency = |share: &str| {
        let microseconds = behind(text, &format!("percentile {share} ="))?;
        Some(2.0 * microseconds / 1000.0)
    };
    Some(Figures { rate: work / seconds, work, p50: latency("50.000"), p99: latency("99.000") })
}

/// The number behind the first of those words.
fn behind(text: &str, words: &str) -> Option<f64> {
    let rest = text.split_once(words)?.1.trim_start();
    let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
    rest[..end].trim_end_matches('.').parse().ok()
}

/// `535.02us`, `3.21ms` and `1.20s`.
fn milliseconds(text: &str) -> Option<f64> {
    let at = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(at);
    let factor = match unit {
        "us" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        "m" => 60e3,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_reports_are_read() {
        let line = "ready\n".to_owned()
            + r#"{"answered":300,"seconds":0.5,"rate":600.0,"bytes":64000,"latency_ms":{"p50":0.5,"p99":2}}"#;
        let expected = Figures { rate: 600.0, work: 300.0, p50: Some(0.5), p99: Some(2.0) };
        assert_eq!(Reads::Answers.figures(&line), Some(expected));
        assert_eq!(Reads::Heard.figures(&line).map(|figures| figures.rate), Some(128_000.0));
        let object = "{\n \"answered\": 0, \"seconds\": 2.0,\n \"bytes\": {\"sent\": 8, \"received\": 4}\n}\n";
        assert_eq!(Reads::Sent.figures(object).map(|figures| figures.rate), Some(4.0));
        assert_eq!(Reads::Heard.figures(object).map(|figures| figures.work), Some(4.0));
    }

    #[test]
    fn wrk_is_read() {
        let text = "  Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency   735.23us  535.02us   6.79ms   91.66%\n  \
                    Latency Distribution\n     50%  599.00us\n     99%    3.21ms\n  64903 requests in 1.01s, 4.83MB read\n\
                    Requests/sec:  64548.37\n";
        let expected = Figures { rate: 64548.37, work: 64903.0, p50: Some(0.599), p99: Some(3.21) };
        assert_eq!(Reads::Wrk.figures(text), Some(expected));
    }

    #[test]
    fn h2load_is_read() {
        let text = "finished in 1.00s, 92174.00 req/s, 7.03MB/s\nrequests: 92180 total, 92190 started, 92176 done, \
                    92174 succeeded, 0 failed, 0 errored, 0 timeout\n";
        let expected = Figures { rate: 92174.0, work: 92174.0, p50: None, p99: None };
        assert_eq!(Reads::H2load.figures(text), Some(expected));
    }

    #[test]
    fn iperf3_is_read() {
        let text = r#"{"end":{"sum_sent":{"seconds":2.0,"bytes":4000},"sum_received":{"seconds":2.0,"bytes":3000}}}"#;
        assert_eq!(Reads::Iperf3.figures(text).map(|figures| (figures.rate, figures.work)), Some((2000.0, 4000.0)));
        assert_eq!(Reads::Iperf3.figures(r#"{"error":"unable to connect"}"#), None);
    }

    #[test]
    fn both_modes_of_sockperf_are_read() {
        let text = "sockperf: Total of 129055 messages sent in 1.004 sec\n\nsockperf: Summary: Message Rate is 128557 [msg/sec]\n";
        assert_eq!(Reads::SockperfSent.figures(text).map(|figures| figures.work), Some(129_055.0));
        let text = "sockperf: [Total Run] RunTime=1.000 sec; Warm up time=400 msec; SentMessages=53190; \
                    ReceivedMessages=53189\nsockperf: [Valid Duration] RunTime=0.549 sec; SentMessages=29904; \
                    ReceivedMessages=29904\nsockperf: ---> percentile 99.000 =   22.500\nsockperf: ---> percentile 50.000 =    7.000\n";
        let expected = Figures { rate: 53189.0, work: 53189.0, p50: Some(0.014), p99: Some(0.045) };
        assert_eq!(Reads::SockperfHeard.figures(text), Some(expected));
    }

    #[test]
    fn a_run_without_work_has_no_figures() {
        assert_eq!(Reads::Answers.figures(r#"{"answered":0,"seconds":1.0}"#), None);
        assert_eq!(Reads::Wrk.figures("unable to connect to 127.0.0.1:1 Connection refused"), None);
        assert_eq!(Reads::Answers.figures(""), None);
    }
}
