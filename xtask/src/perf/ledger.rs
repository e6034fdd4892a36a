//! Where it is read how much a program, with all that it starts, has worked and holds: in control groups of its own where
//! we may make some, and in `/proc` otherwise, which counts in hundredths of a second.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
};

use rustix::process::{Pid, Signal, kill_process};

/// Where control groups are: version 2 alone, or version 1 with a folder for each of them.
const SECOND: &str = "/sys/fs/cgroup/cgroup.controllers";
const FIRST: &[&str] = &["/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/memory"];

pub(crate) enum Ledger {
    /// Folders of control groups, that of the CPU first.
    Groups(Vec<PathBuf>),
    /// The program itself, whose children are found by their parents.
    Tree,
}

/// KiB.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) own: f64,
    /// With the kernel's sockets; only control groups know.
    pub(crate) whole: Option<f64>,
}

impl Ledger {
    /// A ledger for the program of that number among ours.
    pub(crate) fn open(number: usize) -> Self {
        let roots = if Path::new(SECOND).exists() { &["/sys/fs/cgroup"] } else { FIRST };
        let name = format!("hullo-perf-{}-{number}", process::id());
        let folders: Vec<_> = roots.iter().map(|root| Path::new(root).join(&name)).collect();
        let ledger = Self::Groups(folders.clone());
        if folders.iter().all(|folder| fs::create_dir(folder).is_ok()) && ledger.group_cpu(&folders[0]).is_some() {
            return ledger;
        }
        ledger.close();
        Self::Tree
    }

    /// Which one it is, for the report.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Groups(_) => "control groups",
            Self::Tree => "/proc, to a hundredth of a second",
        }
    }

    /// The files that a process writes itself into to be counted.
    pub(crate) fn doors(&self) -> Vec<PathBuf> {
        match self {
            Self::Groups(folders) => folders.iter().map(|folder| folder.join("cgroup.procs")).collect(),
            Self::Tree => Vec::new(),
        }
    }

    /// The CPU-seconds so far.
    pub(crate) fn cpu(&self, first: u32) -> f64 {
        match self {
            Self::Groups(folders) => folders.first().and_then(|folder| self.group_cpu(folder)).unwrap_or_default(),
            Self::Tree => tree(first).iter().map(|process| process.cpu).sum(),
        }
    }

    fn group_cpu(&self, folder: &Path) -> Option<f64> {
        if let Some(nanoseconds) = number(&folder.join("cpuacct.usage")) {
            return Some(nanoseconds / 1e9);
        }
        let text = fs::read_to_string(folder.join("cpu.stat")).ok()?;
        usage(&text).map(|microseconds| microseconds / 1e6)
    }

    pub(crate) fn memory(&self, first: u32) -> Memory {
        let whole = match self {
            Self::Groups(folders) => {
                let files = ["memory.usage_in_bytes", "memory.current"];
                let all = folders.iter().flat_map(|folder| files.map(|file| folder.join(file)));
                all.filter_map(|file| number(&file)).next().map(|bytes| bytes / 1024.0)
            }
            Self::Tree => None,
        };
        Memory { own: tree(first).iter().map(|process| resident(process.id)).sum(), whole }
    }

    /// Ends all that is left of the program: its first process, where that still has its number, and all others.
    pub(crate) fn kill(&self, first: Option<u32>) {
        // What has just been started by one of them is there the next time.
        for _ in 0..3 {
            let mut all: Vec<_> = first.map(tree).unwrap_or_default().iter().map(|process| process.id).collect();
            for door in self.doors() {
                let members = fs::read_to_string(door).unwrap_or_default();
                all.extend(members.lines().filter_map(|line| line.parse::<u32>().ok()));
            }
            for id in all.into_iter().filter_map(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
                // It may be gone.
                let _ = kill_process(id, Signal::KILL);
            }
        }
    }

    /// Gives the control groups back, once nobody is in them.
    pub(crate) fn close(&self) {
        if let Self::Groups(folders) = self {
            for folder in folders {
                // One that cannot be removed is empty, and costs nothing.
                let _ = fs::remove_dir(folder);
            }
        }
    }
}

/// What `/proc/ID/stat` says of a process.
#[derive(Debug, PartialEq)]
pub(crate) struct Process {
    pub(crate) id: u32,
    parent: u32,
    /// It has ended, and nobody has asked how.
    pub(crate) has_ended: bool,
    /// With that of the children that it has waited for.
    pub(crate) cpu: f64,
}

pub(crate) fn look(id: u32) -> Option<Process> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let hertz = rustix::param::clock_ticks_per_second() as f64;
    stat(&text, hertz)
}

/// The name, which may have any characters in it, is in brackets.
fn stat(text: &str, hertz: f64) -> Option<Process> {
    let id = text.split_whitespace().next()?.parse().ok()?;
    let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<f64>().ok()).sum::<f64>();
    let has_ended = matches!(*fields.first()?, "Z" | "X");
    Some(Process { id, parent: fields.get(1)?.parse().ok()?, has_ended, cpu: ticks / hertz })
}

/// The process, and all that descend from it.
fn tree(first: u32) -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut others: Vec<_> = ids.filter_map(look).collect();
    let (mut family, mut seen) = (Vec::new(), 0);
    take(&mut others, &mut family, |process| process.id == first);
    while seen < family.len() {
        let parent = family[seen].id;
        take(&mut others, &mut family, |process| process.parent == parent);
        seen += 1;
    }
    family
}

fn take(from: &mut Vec<Process>, into: &mut Vec<Process>, which: impl Fn(&Process) -> bool) {
    into.extend(from.extract_if(.., |process| which(process)));
}

/// The pages that a process has in memory, exactly, in KiB.
fn resident(id: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

fn usage(cpu_stat: &str) -> Option<f64> {
    cpu_stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?.trim().parse().ok()
}

fn number(file: &Path) -> Option<f64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_is_no_field() {
        let line = "17 (a ) b) Z 4 17 17 0 -1 4194304 9 0 0 0 150 50 7 3 20 0 1 0 99 0 0";
        let process = Process { id: 17, parent: 4, has_ended: true, cpu: 2.1 };
        assert_eq!(stat(line, 100.0), Some(process));
        assert_eq!(stat("17 (cut", 100.0), None);
    }

    #[test]
    fn we_are_in_our_own_family() {
        let us = process::id();
        assert!(tree(us).iter().any(|process| process.id == us));
        assert!(resident(us) > 100.0);
    }

    #[test]
    fn a_process_without_its_number_is_left_alone() {
        let mut child = process::Command::new("cat").stdin(process::Stdio::piped()).spawn().unwrap();
        Ledger::Tree.kill(None);
        assert!(!look(child.id()).unwrap().has_ended);
        Ledger::Tree.kill(Some(child.id()));
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn the_second_version_counts_microseconds() {
        assert_eq!(usage("usage_usec 2500000\nuser_usec 1\n"), Some(2_500_000.0));
        assert_eq!(usage("user_usec 1\n"), None);
    }
}
