//! `docs/performance.md`: its tables stand between marks, and are written from `docs/performance.json`, which keeps the
//! figures of those groups that were not measured this time.

use std::{fs, process::Command};

use serde::{Deserialize, Serialize};

use super::{
    chart,
    groups::GROUPS,
    idle::{self, Idle},
    place::{self, Place},
    program::{Core, Program},
    summary::Summary,
    words,
};
use crate::run::{Outcome, failed, output, root};

const PAGE: &str = "docs/performance.md";
const FIGURES: &str = "docs/performance.json";
const CHART: &str = "docs/performance.svg";

/// `<!-- figures NAME -->` begins the place of a group's tables, and this ends it.
const END: &str = "<!-- end of figures -->";

/// All that is published.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Published {
    machine: Machine,
    groups: Vec<Summary>,
    pub(crate) idle: Option<Idle>,
}

/// Where, and with what.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    hullo: String,
    counted_by: String,
}

impl Published {
    /// What was published before, on the machine of now; `is_built` says that the command is that of this repository.
    pub(crate) fn new(place: &Place, is_built: bool) -> Outcome<Self> {
        let path = root().join(FIGURES);
        let mut published: Self = match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| failed(format!("{FIGURES}: {error}")))?,
            Err(_) => Self::default(),
        };
        let machine = Machine::look(place, is_built)?;
        if !published.groups.is_empty() && !published.machine.is_like(&machine) {
            eprintln!("the figures of {FIGURES} are another machine's, and are left out");
            published = Self::default();
        }
        published.machine = machine;
        Ok(published)
    }

    /// A group of now, in the place of what was published of it.
    pub(crate) fn take(&mut self, summary: Summary) {
        match self.groups.iter_mut().find(|group| group.name == summary.name) {
            Some(group) => *group = summary,
            None => self.groups.push(summary),
        }
    }

    pub(crate) fn write(&self) -> Outcome {
        let mut published = self.clone();
        published.groups.sort_by_key(|group| GROUPS.iter().position(|known| known.name == group.name));
        published.write_all()
    }

    fn write_all(&self) -> Outcome {
        let file = |name: &str, text: &str| place::write(&root().join(name), text.as_bytes());
        let json = serde_json::to_string_pretty(self).map_err(|error| failed(error.to_string()))?;
        file(FIGURES, &(json + "\n"))?;
        file(CHART, &chart::draw(&self.groups))?;
        let mut page = place::read(&root().join(PAGE))?;
        for (name, section) in self.sections() {
            match between(&page, &name, &section) {
                Some(next) => page = next,
                None => eprintln!("{PAGE} has no place for {name}: {} and {END}", begin(&name)),
            }
        }
        file(PAGE, &page)
    }

    fn sections(&self) -> Vec<(String, String)> {
        let mut sections = vec![("machine".to_owned(), self.machine.table())];
        sections.extend(self.groups.iter().map(|group| (group.name.clone(), section(group))));
        sections.extend(self.idle.as_ref().map(|idle| (idle::NAME.to_owned(), markdown(&idle::cells(idle)))));
        sections
    }
}

impl Machine {
    fn look(place: &Place, is_built: bool) -> Outcome<Self> {
        let processors = place::read("/proc/cpuinfo".as_ref())?;
        let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        // Of a program that was given nobody knows what it was built from.
        let commit = if is_built {
            output(Command::new("git").args(["rev-parse", "--short=10", "HEAD"]).current_dir(root()))?
        } else {
            "no known commit".to_owned()
        };
        let version = output(Command::new(&place.hullo).arg("--version"))?;
        let probe = Program::start("probe", &["true".to_owned()], Core::Server, place)?;
        Ok(Self {
            processor: model.map_or("unknown", |(_, model)| model).to_owned(),
            cores: processors.lines().filter(|line| line.starts_with("processor")).count(),
            kernel: place::read("/proc/sys/kernel/osrelease".as_ref())?.trim().to_owned(),
            hullo: format!("{} at {}", version.trim(), commit.trim()),
            counted_by: probe.ledger().to_owned(),
        })
    }

    /// Whether figures of both may stand in one table.
    fn is_like(&self, other: &Self) -> bool {
        (&self.processor, self.cores, &self.kernel) == (&other.processor, other.cores, &other.kernel)
    }

    fn table(&self) -> String {
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        markdown(&[
            row("", String::new()),
            row("processor, cores", format!("{}, {}", self.processor, self.cores)),
            row("kernel", format!("Linux {}", self.kernel)),
            row("hullo", self.hullo.clone()),
            row("CPU-seconds from", self.counted_by.clone()),
        ])
    }
}

/// What a group has done: what it is, a table for each course, and what must be known of them.
fn section(summary: &Summary) -> String {
    let mut text = format!("{} ({}.)\n", summary.about, summary.measured);
    for course in &summary.courses {
        text += &format!("\n{}", markdown(&words::rows(summary, course)));
        let notes = words::notes(&course.rows);
        text += &if notes.is_empty() { notes } else { format!("\n{notes}") };
    }
    text
}

fn markdown(table: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (at, row) in table.iter().enumerate() {
        text += &format!("| {} |\n", row.join(" | "));
        if at == 0 {
            text += &format!("|{}\n", " --- |".repeat(row.len()));
        }
    }
    text
}

fn begin(name: &str) -> String {
    format!("<!-- figures {name} -->")
}

/// The page with another text between two marks; nothing where they are not there.
fn between(page: &str, name: &str, text: &str) -> Option<String> {
    let mark = begin(name);
    let (before, rest) = page.split_once(&mark)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{mark}\n\n{text}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::summary::{CourseSummary, Row, Spread};

    fn summary() -> Summary {
        let same = |middle| Some(Spread { middle, low: middle, high: middle });
        let first = Row { name: "C".to_owned(), rate: 1000.0, ratio: same(1.0), ..Row::default() };
        let ours = Row { name: "hullo".to_owned(), rate: 2000.0, ratio: same(2.0), ..Row::default() };
        let gone = Row { name: "gone".to_owned(), trouble: Some("there is no gone".to_owned()), ..Row::default() };
        Summary {
            name: "tcp".to_owned(),
            title: "TCP".to_owned(),
            about: "An echo.".to_owned(),
            unit: "echoes".to_owned(),
            generators: false,
            by_work: false,
            measured: "5 rounds of 1 s, 2026-11-22".to_owned(),
            courses: vec![CourseSummary { name: "64 connections".to_owned(), rows: vec![gone, first, ours] }],
        }
    }

    #[test]
    fn a_section_has_its_tables_and_says_who_is_missing() {
        assert_eq!(
            section(&summary()),
            "An echo. (5 rounds of 1 s, 2026-11-22.)\n\n| 64 connections | echoes a second | to C |\n| --- | --- | --- |\n\
             | C | 1,000 | 1.00 |\n| hullo | 2,000 | 2.00 |\n\ngone: not measured: there is no gone\n"
        );
    }

    #[test]
    fn only_what_is_between_the_marks_is_written() {
        let page = format!("a\n<!-- figures tcp -->\nold\n{END}\nb\n<!-- figures udp -->\n{END}\n");
        let next = between(&page, "tcp", "new\n").unwrap_or_default();
        assert_eq!(next, format!("a\n<!-- figures tcp -->\n\nnew\n\n{END}\nb\n<!-- figures udp -->\n{END}\n"));
        assert_eq!(between(&next, "tcp", "new\n").as_ref(), Some(&next));
        assert_eq!(between(&page, "http", "new"), None);
    }

    #[test]
    fn a_group_takes_the_place_of_what_was_published_of_it() {
        let mut published = Published { groups: vec![summary()], ..Published::default() };
        published.take(Summary { title: "again".to_owned(), ..summary() });
        published.take(Summary { name: "udp".to_owned(), ..summary() });
        let titles: Vec<_> = published.groups.iter().map(|group| group.title.as_str()).collect();
        assert_eq!(titles, ["again", "TCP"]);
    }

    #[test]
    fn what_is_published_is_read_again() {
        let published = Published { groups: vec![summary()], ..Published::default() };
        let text = serde_json::to_string(&published).unwrap();
        assert_eq!(serde_json::from_str::<Published>(&text).unwrap(), published);
    }
}
