//! A folder as a zip archive, for those who have no tar: with times to the second and modes, and of any size.

use std::io::{self, Write};

use time::OffsetDateTime;
use zip::{
    CompressionMethod, DateTime, ZipWriter,
    write::{FullFileOptions, StreamWriter},
};

use super::{
    Job, Sink,
    walk::{Item, walk},
};
use crate::service::files::{kind::Kind, root::Facts};

/// The extra field of a time in seconds since 1970: the format's own is local, of nobody knows where, and even.
const TIME: u16 = 0x5455;

/// From here on the lengths need 64 bits.
const LARGE: u64 = u32::MAX as u64 / 2;

pub(super) fn pack(job: &Job, sink: Sink) {
    let mut writer = ZipWriter::new_stream(sink.clone());
    let packed = walk(job, &mut |path, facts, item| put(&mut writer, path, facts, item));
    match packed {
        Ok(()) => sink.end(writer.finish().map(|_| ()).map_err(Into::into)),
        Err(error) => sink.end(Err(error)),
    }
}

fn put(writer: &mut ZipWriter<StreamWriter<Sink>>, path: &[u8], facts: &Facts, item: Item) -> io::Result<()> {
    let name = name(path);
    let options = options(facts)?;
    match item {
        Item::Folder => writer.add_directory(name, options)?,
        Item::Link(target) => writer.add_symlink(name, String::from_utf8_lossy(&target), options)?,
        Item::File(mut file) => {
            let method = match Kind::of(path).is_compressible() {
                true => CompressionMethod::Deflated,
                false => CompressionMethod::Stored,
            };
            writer.start_file(name, options.compression_method(method).large_file(facts.stamp.size >= LARGE))?;
            io::copy(&mut file, writer)?;
            writer.flush()?;
        }
    }
    Ok(())
}

/// The format's names are UTF-8: what is not stands in percent signs, so that two names stay two.
fn name(path: &[u8]) -> String {
    let mut name = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        name += chunk.valid();
        for byte in chunk.invalid() {
            name += &format!("%{byte:02X}");
        }
    }
    name
}

fn options(facts: &Facts) -> io::Result<FullFileOptions<'static, 'static>> {
    let seconds = facts.stamp.modified.0;
    let mut options = FullFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(date(seconds).unwrap_or_default())
        .unix_permissions(facts.mode & 0o777);
    if let Ok(seconds) = i32::try_from(seconds) {
        // One byte says that it is the time of the last change which follows.
        let field = [&[1][..], &seconds.to_le_bytes()].concat();
        options.add_extra_field(TIME, field, false)?;
    }
    Ok(options)
}

/// The format's own time; it knows none before 1980.
fn date(seconds: i64) -> Option<DateTime> {
    let date = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    let year = u16::try_from(date.year()).ok()?;
    DateTime::from_date_and_time(year, date.month().into(), date.day(), date.hour(), date.minute(), date.second()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_apart() {
        assert_eq!(name(b"a/\xff\xfeb"), "a/%FF%FEb");
        assert_ne!(name(b"\xff"), name(b"\xfe"));
        assert_eq!(name("ü/1".as_bytes()), "ü/1");
    }
}
