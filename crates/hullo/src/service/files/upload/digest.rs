//! What a client says the hash of a file is, and whether that holds (RFC 9530).

use std::{fs::File, io, os::unix::fs::FileExt};

use aws_lc_rs::digest::{Context, SHA256, SHA512};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, StatusCode};

use super::{
    super::{Asked, Refusal},
    bad,
};

const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// What is read at a time.
const PIECE: usize = 256 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha512,
    Blake3,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha512 => "sha-512",
            Self::Blake3 => "blake3",
        }
    }

    fn length(self) -> usize {
        if self == Self::Sha512 { 64 } else { 32 }
    }
}

/// Hashes that something must have. There may be none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Digests(Vec<(Algorithm, Vec<u8>)>);

impl Digests {
    /// Those of the whole file: `Repr-Digest`, and `?blake3=`.
    pub(super) fn of_whole(asked: &Asked) -> Result<Self, Refusal> {
        let mut digests = Self::of(&asked.head.headers, &REPR_DIGEST)?;
        if let Some(hash) = asked.value("blake3") {
            let hash = blake3::Hash::from_hex(hash.as_bytes()).map_err(|_| bad("blake3 is a hash of 64 digits"))?;
            digests.0.push((Algorithm::Blake3, hash.as_bytes().to_vec()));
        }
        Ok(digests)
    }

    /// Those of what this request brings: `Content-Digest`.
    pub(super) fn of_content(headers: &HeaderMap) -> Result<Self, Refusal> {
        Self::of(headers, &CONTENT_DIGEST)
    }

    fn of(headers: &HeaderMap, name: &HeaderName) -> Result<Self, Refusal> {
        let mut digests = Vec::new();
        for value in headers.get_all(name) {
            for member in value.to_str().unwrap_or_default().split(',') {
                let Some((key, hash)) = member.split_once('=') else { continue };
                // An algorithm that is not known says nothing (section 2); one that is known must be right.
                let algorithms = [Algorithm::Sha256, Algorithm::Sha512];
                let Some(algorithm) = algorithms.into_iter().find(|known| known.name() == key.trim()) else { continue };
                let hash = hash.trim().strip_prefix(':').and_then(|hash| hash.strip_suffix(':'));
                let hash = hash.and_then(|hash| BASE64_STANDARD.decode(hash).ok());
                let hash = hash.filter(|hash| hash.len() == algorithm.length());
                digests.push((algorithm, hash.ok_or(bad("a digest is written like sha-256=:BASE64:"))?));
            }
        }
        Ok(Self(digests))
    }

    /// Whether there is none that an upload's address has no room for.
    pub(super) fn is_only_sha256(&self) -> bool {
        self.0.iter().all(|(algorithm, _)| *algorithm == Algorithm::Sha256)
    }

    pub(super) fn sha256(&self) -> Option<[u8; 32]> {
        self.0
            .iter()
            .find(|(algorithm, _)| *algorithm == Algorithm::Sha256)
            .and_then(|(_, hash)| hash[..].try_into().ok())
    }

    /// With that one too.
    pub(super) fn and_sha256(mut self, hash: Option<[u8; 32]>) -> Self {
        self.0.extend(hash.map(|hash| (Algorithm::Sha256, hash.to_vec())));
        self
    }

    /// Whether a part of a file has them, as it is on the disk. To be called where one may wait.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn check(&self, file: &File, from: u64, to: u64) -> io::Result<Result<(), Refusal>> {
        let mut hashes: Vec<_> = self.0.iter().map(|(algorithm, _)| Hash::new(*algorithm)).collect();
        let mut piece = vec![0; PIECE];
        let mut at = from;
        while at < to && !hashes.is_empty() {
            let most = PIECE.min(usize::try_from(to - at).unwrap_or(PIECE));
            let n = file.read_at(&mut piece[..most], at)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            hashes.iter_mut().for_each(|hash| hash.update(&piece[..n]));
            at += n as u64;
        }
        let other = hashes.into_iter().map(Hash::finish).zip(&self.0).find(|(found, (_, wanted))| found != wanted);
        Ok(match other {
            None => Ok(()),
            Some((_, (algorithm, _))) => {
                let why =
                    format!("the {} of what has come is another one: it was changed on the way", algorithm.name());
                Err(Refusal::new(StatusCode::BAD_REQUEST, why))
            }
        })
    }
}

enum Hash {
    Sha(Context),
    Blake3(Box<blake3::Hasher>),
}

impl Hash {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha(Context::new(&SHA256)),
            Algorithm::Sha512 => Self::Sha(Context::new(&SHA512)),
            Algorithm::Blake3 => Self::Blake3(Box::default()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha(context) => context.update(bytes),
            Self::Blake3(hasher) => {
                hasher.update(bytes);
            }
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Sha(context) => context.finish().as_ref().to_vec(),
            Self::Blake3(hasher) => hasher.finalize().as_bytes().to_vec(),
        }
    }
}
