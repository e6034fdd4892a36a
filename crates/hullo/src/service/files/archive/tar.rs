//! A folder as a tar archive: names as they are, with modes, times and links.

use std::{ffi::OsStr, io, os::unix::ffi::OsStrExt};

use tar::{Builder, EntryType, Header};

use super::{
    Job, Sink,
    walk::{Item, walk},
};
use crate::service::files::root::Facts;

pub(super) fn pack(job: &Job, sink: Sink) {
    let mut builder = Builder::new(sink.clone());
    let packed = walk(job, &mut |path, facts, item| put(&mut builder, path, facts, item));
    sink.end(packed.and_then(|()| builder.finish()));
}

fn put(builder: &mut Builder<Sink>, path: &[u8], facts: &Facts, item: Item) -> io::Result<()> {
    let path = OsStr::from_bytes(path);
    let mut header = Header::new_gnu();
    header.set_mode(facts.mode & 0o777);
    header.set_mtime(u64::try_from(facts.stamp.modified.0).unwrap_or_default());
    match item {
        Item::Folder => {
            header.set_entry_type(EntryType::Directory);
            header.set_size(0);
            builder.append_data(&mut header, path, io::empty())
        }
        Item::File(file) => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(facts.stamp.size);
            builder.append_data(&mut header, path, file)
        }
        Item::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            builder.append_link(&mut header, path, OsStr::from_bytes(&target))
        }
    }
}
