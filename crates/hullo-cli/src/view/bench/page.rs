//! `hullo bench ADDRESS --html FILE`: a page that shows a load test.
//!
//! It needs nothing but itself: no other file, no server, nothing of the network. What it has in words and figures
//! stands in its HTML, so that it can be read without a script too; the script draws the charts, out of the report that
//! lies in the page as JSON.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_STANDARD};
use hullo::{
    bench::{Report, buckets},
    html::{escaped, filled},
};
use serde_json::{Value, json};

mod figures;
mod verdict;

pub(super) use self::verdict::duration;

#[cfg(test)]
mod tests;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");

/// One script, whose parts stand above those that use them.
const SCRIPT: &str = concat!(
    include_str!("page/words.js"),
    include_str!("page/chart.js"),
    include_str!("page/run.js"),
    include_str!("page/heat.js"),
    include_str!("page/curve.js"),
    include_str!("page/rates.js"),
    include_str!("page/page.js"),
);

/// A load test on the page. Where there are two of them, each has a name.
pub(crate) struct Run<'a> {
    pub(crate) name: &'a str,
    pub(crate) report: &'a Report,
}

/// Something that is to be said above all figures: what came of an objective, or of comparing two runs.
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) is_bad: bool,
}

/// The page, as the bytes of a file.
pub(crate) fn page(runs: &[Run<'_>], words: &[Word]) -> String {
    let title = runs.iter().map(|run| run.report.target.as_str()).collect::<Vec<_>>().join(" and ");
    filled(
        PAGE,
        &[
            ("policy", &escaped(&policy())),
            ("version", env!("CARGO_PKG_VERSION")),
            ("title", &format!("hullo bench {}", escaped(&title))),
            ("style", STYLE),
            ("heading", &heading(runs)),
            ("how", &escaped(&verdict::how(runs))),
            ("verdict", &verdict::verdicts(runs, words)),
            ("runs", &runs.iter().map(|run| figures::card(run, runs.len() > 1)).collect::<String>()),
            ("tables", &runs.iter().map(|run| figures::tables(run, runs.len() > 1)).collect::<String>()),
            ("data", &data(runs)),
            ("script", SCRIPT),
        ],
    )
}

fn heading(runs: &[Run<'_>]) -> String {
    let target = |run: &Run<'_>| format!("<bdi>{}</bdi>", escaped(&run.report.target));
    match runs {
        [a, b] if a.report.target == b.report.target => format!("{}, twice", target(a)),
        _ => runs.iter().map(target).collect::<Vec<_>>().join(" and "),
    }
}

/// The page's own style and script and no others, named by their hashes; and nothing of any other server.
fn policy() -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

/// What the script draws. In a script element, only `<` could mean more than itself.
fn data(runs: &[Run<'_>]) -> String {
    let run = |run: &Run<'_>| {
        json!({
            "name": run.name, "report": json!(run.report), "edges": edges(run.report), "is_bulk": run.report.is_bulk(),
            "became": run.report.became(), "noun": run.report.noun(),
        })
    };
    json!({ "runs": runs.iter().map(run).collect::<Vec<_>>() }).to_string().replace('<', "\\u003c")
}

/// How much is shown around the buckets that have something in them.
const AROUND: u16 = 64;

/// Where buckets begin, in milliseconds: all that the run has, and some around them.
fn edges(report: &Report) -> Value {
    let used = || report.over_time.columns.iter().flat_map(|column| &column.latency).map(|(bucket, _)| *bucket);
    let low = used().min().unwrap_or(0).saturating_sub(AROUND);
    let last = buckets::COUNT as u16 - 1;
    let high = used().max().unwrap_or(last).saturating_add(AROUND).min(last);
    let ms: Vec<f64> = (low..=high).map(|bucket| buckets::bounds(bucket).start / 1e6).collect();
    json!({ "from": low, "ms": ms })
}
