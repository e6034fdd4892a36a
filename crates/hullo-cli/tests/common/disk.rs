//! A disk that is soon full.

use std::{fs, process::Command};

use super::skipped;

/// A file system with little room, which goes with this.
pub(crate) struct Disk(String);

impl Disk {
    /// One of that size, as mount has it, where we may mount anything.
    pub(crate) fn new(path: String, size: &str) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let mounted = mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", &path]);
        if mounted { Some(Self(path)) } else { skipped("right to mount a small disk") }
    }

    /// Makes room.
    pub(crate) fn grow(&self, size: &str) {
        assert!(mount(&["-o", &format!("remount,size={size}"), &self.0]), "{} does not grow", self.0);
    }
}

fn mount(words: &[&str]) -> bool {
    Command::new("mount").args(words).output().is_ok_and(|ended| ended.status.success())
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", &self.0]).output();
    }
}
