//! The content of files: read, compared and hashed.

use std::{
    fs::File,
    io,
    os::{fd::AsFd, unix::fs::MetadataExt},
};

use rustix::{
    buffer::spare_capacity,
    fs::{SeekFrom, Stat, seek},
    io::{Errno, pread},
};

use super::{
    walk,
    words::{CHUNK, Hash, block},
};

/// How far what the receiver has is what we have; the hasher has then seen so much.
pub(super) fn agreed(
    hasher: &mut blake3::Hasher,
    file: &File,
    size: u64,
    length: u64,
    blocks: &[Hash],
) -> io::Result<u64> {
    let (length, block) = (length.min(size), block(size));
    let mut offset = 0;
    for theirs in blocks {
        let end = (offset + block).min(length);
        let mut one = blake3::Hasher::new();
        let before = hasher.clone();
        each(file, offset, end - offset, |piece| {
            one.update(piece);
            hasher.update(piece);
        })?;
        if one.finalize() != *theirs {
            *hasher = before;
            break;
        }
        offset = end;
    }
    Ok(offset)
}

/// Reads a part of a file piece by piece.
pub(super) fn each(file: &File, mut offset: u64, length: u64, mut piece: impl FnMut(&[u8])) -> io::Result<()> {
    let end = offset + length;
    let piece_of = |offset| usize::try_from(end - offset).unwrap_or(usize::MAX).min(CHUNK);
    let mut buffer = Vec::with_capacity(piece_of(offset));
    while offset < end {
        buffer.clear();
        let most = piece_of(offset);
        match read_at(file, &mut buffer, offset, most)? {
            0 => return Err(changed()),
            read => offset += read as u64,
        }
        piece(&buffer);
    }
    Ok(())
}

/// Reads to the end of a buffer, at most so much.
pub(super) fn read_at(file: &File, buffer: &mut Vec<u8>, offset: u64, most: usize) -> io::Result<usize> {
    let length = buffer.len();
    loop {
        match pread(file.as_fd(), spare_capacity(buffer), offset) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(read) => {
                buffer.truncate(length + most);
                return Ok(read.min(most));
            }
        }
    }
}

/// Where the next data is from `offset` on, and where it ends.
pub(super) fn extent(file: &File, offset: u64, size: u64) -> (u64, u64) {
    // A file system without holes says so; then all of it is data.
    let data = match seek(file, SeekFrom::Data(offset)) {
        Ok(data) => data.min(size),
        Err(Errno::NXIO) => return (size, size),
        Err(_) => return (offset, size),
    };
    (data, seek(file, SeekFrom::Hole(data)).map_or(size, |hole| hole.min(size)))
}

/// Hashes so many zeros.
pub(super) fn zeros(hasher: &mut blake3::Hasher, mut length: u64) {
    static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
    while length > 0 {
        let some = length.min(ZEROS.len() as u64);
        hasher.update(&ZEROS[..some as usize]);
        length -= some;
    }
}

/// Whether it is a file: a pipe may have taken its place.
pub(super) fn regular(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() { Ok(()) } else { Err(changed()) }
}

/// Whether the file is still the one that was announced.
pub(super) fn same(file: &File, status: &Stat) -> io::Result<()> {
    let now = file.metadata()?;
    let then = (status.st_ino, walk::size(status), status.st_mtime, i64::try_from(status.st_mtime_nsec).unwrap_or(-1));
    if (now.ino(), now.len(), now.mtime(), now.mtime_nsec()) == then { Ok(()) } else { Err(changed()) }
}

pub(super) fn changed() -> io::Error {
    io::Error::other("it changed while it was being sent")
}
