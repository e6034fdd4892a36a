//! The bounds of everything that a client may ask for. What is over one is cut down to it, as httpbin does.

use std::time::Duration;

/// The longest time before an answer.
pub(super) const DELAY: Duration = Duration::from_secs(10);

/// The longest time over which an answer is spread.
pub(super) const DURATION: Duration = Duration::from_secs(60);

/// The most bytes of `/bytes`, `/stream-bytes` and `/range`.
pub(super) const BYTES: u64 = 100 << 10;

/// The most bytes of `/drip`.
pub(super) const DRIP: u64 = 10 << 20;

/// The most lines of `/stream` and `/jsonl`, and the most events of `/sse`.
pub(super) const LINES: u64 = 100;

/// The most links of `/links`.
pub(super) const LINKS: u64 = 200;

/// The most parts of a range that are answered one by one; more of them are an attack (RFC 9110, section 17.15).
pub(super) const RANGES: usize = 16;

/// The shortest pause between two pieces of an answer that is spread over a time: what is due until then goes together.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// The most fields of a query, and of a form of several parts.
pub(super) const FIELDS: usize = 1000;

/// The most bytes of one piece of it.
pub(super) const PIECE: u64 = 64 << 10;
