//! The way through a folder and all that is in it, with one thing open at a time.

use std::{
    fs::File,
    io::{self, Read},
};

use rustix::fs::FileType;

use super::Job;
use crate::service::files::root::{Entry, Facts, Opened};

/// How deep folders may lie in each other: each on the way is open.
const DEPTH: usize = 128;

/// What is put into an archive.
pub(super) enum Item {
    Folder,
    File(Whole),
    /// A link, and where it leads.
    Link(Vec<u8>),
}

/// Calls `put` for the folder and for all that is in it, each with its path from there.
pub(super) fn walk(job: &Job, put: &mut dyn FnMut(&[u8], &Facts, Item) -> io::Result<()>) -> io::Result<()> {
    put(&job.name, &job.folder.facts, Item::Folder).map_err(|error| at(&job.name, error))?;
    within(job, &job.folder, &job.name, DEPTH, put)
}

fn within(
    job: &Job,
    folder: &Opened,
    path: &[u8],
    depth: usize,
    put: &mut dyn FnMut(&[u8], &Facts, Item) -> io::Result<()>,
) -> io::Result<()> {
    for entry in job.root.entries(folder).map_err(|error| at(path, error))? {
        let entry = entry.map_err(|error| at(path, error))?;
        let path = [path, b"/", &entry.name].concat();
        match open(job, folder, &entry) {
            Ok(Some((facts, Found::Item(item)))) => put(&path, &facts, item).map_err(|error| at(&path, error))?,
            Ok(Some((facts, Found::Folder(folder)))) => {
                let Some(depth) = depth.checked_sub(1) else {
                    return Err(at(&path, io::Error::other("it lies too deep")));
                };
                put(&path, &facts, Item::Folder).map_err(|error| at(&path, error))?;
                within(job, &folder, &path, depth, put)?;
            }
            Ok(None) => {}
            // It has gone since the folder was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(at(&path, error)),
        }
    }
    Ok(())
}

enum Found {
    Item(Item),
    Folder(Opened),
}

/// What stands in a folder, opened; nothing for what can be in no archive, such as a socket.
fn open(job: &Job, folder: &Opened, entry: &Entry) -> io::Result<Option<(Facts, Found)>> {
    match entry.facts.kind {
        FileType::Symlink => {
            let target = job.root.link(folder, &entry.name)?;
            Ok(Some((entry.facts, Found::Item(Item::Link(target)))))
        }
        FileType::RegularFile | FileType::Directory => {
            let opened = job.root.open_in(folder, &entry.name)?;
            Ok(match opened.facts.kind {
                FileType::Directory => Some((opened.facts, Found::Folder(opened))),
                FileType::RegularFile => {
                    let whole = Whole { left: opened.facts.stamp.size, file: opened.file };
                    Some((opened.facts, Found::Item(Item::File(whole))))
                }
                // It was replaced by something else meanwhile.
                _ => None,
            })
        }
        _ => Ok(None),
    }
}

fn at(path: &[u8], error: io::Error) -> io::Error {
    // What was said already names a longer path.
    if error.get_ref().is_some_and(|inner| inner.is::<Named>()) {
        return error;
    }
    io::Error::new(error.kind(), Named(format!("{}: {error}", String::from_utf8_lossy(path).escape_debug())))
}

/// An error that says which file it is about.
#[derive(Debug)]
struct Named(String);

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Named {}

/// A file of exactly the size that it had when it was opened: what has been added since is left out, and that something
/// is missing is an error.
pub(super) struct Whole {
    file: File,
    left: u64,
}

impl Read for Whole {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let read = self.file.read(&mut buf[..most])?;
        if read == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has become shorter"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}
