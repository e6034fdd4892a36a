//! Compressed messages (RFC 7692, permessage-deflate): what two ends agree on, and the compressing itself.
//!
//! We ask for, and agree to, contexts that end with each message. What a message is compressed with then belongs to the
//! thread, and a connection holds nothing for it. (A context of its own would save more bytes on the wire, and cost 300 KiB
//! for each connection.)

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// What a client offers.
pub(super) const OFFER: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits";

/// A message shorter than that is not worth it.
const WORTH_IT: usize = 128;

/// What every compressed message ends with, and so is not sent (section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// What was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// The window that we may compress with, 9 to 15 bits; none where that would be the 8 bits that no library here has.
    window: Option<u8>,
    /// The other end's messages refer to those before.
    takeover: bool,
}

/// One extension of a header, and its parameters.
type Extension<'a> = Vec<(&'a str, Option<&'a str>)>;

fn extensions(header: &str) -> impl Iterator<Item = (&str, Extension<'_>)> {
    header.split(',').map(|extension| {
        let mut words = extension.split(';').map(str::trim);
        let name = words.next().unwrap_or_default();
        let pair = |word| match str::split_once(word, '=') {
            Some((name, value)) => (name.trim(), Some(value.trim().trim_matches('"'))),
            None => (word, None),
        };
        (name, words.map(pair).collect())
    })
}

/// Whether a parameter stands there twice, which is no offer and no answer (section 7.1).
fn repeats(parameters: &Extension<'_>) -> bool {
    (1..parameters.len()).any(|at| parameters[..at].iter().any(|(before, _)| *before == parameters[at].0))
}

fn is_window(value: &str) -> Option<u8> {
    let is_plain = !value.starts_with(['0', '+']);
    value.parse().ok().filter(|bits| is_plain && (8..=15).contains(bits))
}

/// The first offer that a server can take, and its answer (section 7.1).
pub fn accept(offers: &str) -> Option<(Deflate, String)> {
    extensions(offers).filter(|(name, _)| *name == "permessage-deflate").find_map(|(_, parameters)| {
        let mut answer = OFFERED.to_owned();
        let mut window = 15;
        if repeats(&parameters) {
            return None;
        }
        for (name, value) in &parameters {
            match (*name, value.map(is_window)) {
                ("server_no_context_takeover" | "client_no_context_takeover", None) => {}
                ("client_max_window_bits", None | Some(Some(_))) => {}
                ("server_max_window_bits", Some(Some(bits @ 9..))) => {
                    window = bits;
                    answer += &format!("; server_max_window_bits={bits}");
                }
                // What we do not know, or cannot do: perhaps the next offer asks for less.
                _ => return None,
            }
        }
        Some((Deflate { window: Some(window), takeover: false }, answer))
    })
}

const OFFERED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// What a server made of our [`OFFER`]; nothing where it answered what was not offered.
pub(super) fn agreed(answer: &str) -> Option<Deflate> {
    let mut all = extensions(answer);
    let (Some(("permessage-deflate", parameters)), None) = (all.next(), all.next()) else { return None };
    let mut deflate = Deflate { window: Some(15), takeover: true };
    if repeats(&parameters) {
        return None;
    }
    for (name, value) in &parameters {
        match (*name, value.map(is_window)) {
            ("server_no_context_takeover", None) => deflate.takeover = false,
            ("client_no_context_takeover", None) | ("server_max_window_bits", Some(Some(_))) => {}
            ("client_max_window_bits", Some(Some(bits))) => deflate.window = Some(bits).filter(|bits| *bits > 8),
            _ => return None,
        }
    }
    Some(deflate)
}

thread_local! {
    static COMPRESS: RefCell<Option<(u8, Compress)>> = const { RefCell::new(None) };
    static DECOMPRESS: RefCell<Option<Decompress>> = const { RefCell::new(None) };
}

impl Deflate {
    /// The message compressed; nothing where that would not be shorter.
    pub(crate) fn compress(self, message: &[u8]) -> Option<Vec<u8>> {
        let window = self.window.filter(|_| message.len() >= WORTH_IT)?;
        COMPRESS.with_borrow_mut(|kept| {
            let make = || (window, Compress::new_with_window_bits(Compression::fast(), false, window));
            let (bits, compress) = kept.get_or_insert_with(make);
            if *bits != window {
                (*bits, *compress) = make();
            }
            // It has room for all that may come out, though only what is shorter is sent: an output that is cut off leaves
            // zlib-rs 0.6 with a stream that it cannot reset.
            let mut out = Vec::with_capacity(message.len() + message.len() / 8 + message.len() / 64 + 64);
            let status = compress.compress_vec(message, &mut out, FlushCompress::Sync);
            let whole =
                matches!(status, Ok(Status::Ok)) && compress.total_in() == message.len() as u64 && out.ends_with(&TAIL);
            if whole {
                compress.reset();
            } else {
                *kept = None;
            }
            out.truncate(out.len().saturating_sub(TAIL.len()));
            (whole && out.len() < message.len()).then_some(out)
        })
    }

    /// What decompresses the other end's messages.
    pub(crate) fn inflate(self) -> Inflate {
        Inflate(self.takeover.then(|| Box::new(Decompress::new(false))))
    }
}

/// What decompresses messages: its own where they refer to one another, otherwise the thread's.
pub struct Inflate(Option<Box<Decompress>>);

/// Why a message could not be decompressed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It is longer than allowed.
    Long,
    /// It is no deflate stream.
    Broken,
}

impl Inflate {
    /// The message of at most `max` bytes.
    pub(crate) fn decompress(&mut self, message: &[u8], max: usize) -> Result<Vec<u8>, Wrong> {
        match &mut self.0 {
            Some(own) => decompress(own, message, max),
            None => DECOMPRESS.with_borrow_mut(|kept| {
                let shared = kept.get_or_insert_with(|| Decompress::new(false));
                shared.reset(false);
                decompress(shared, message, max)
            }),
        }
    }
}

fn decompress(with: &mut Decompress, message: &[u8], max: usize) -> Result<Vec<u8>, Wrong> {
    let mut out = Vec::new();
    for mut part in [message, &TAIL] {
        loop {
            // It grows with what comes, and never further than a byte over the limit.
            let room =
                (out.len() * 2).max(part.len() * 4).clamp(1 << 10, 1 << 20).min(max.saturating_add(1) - out.len());
            out.reserve_exact(room);
            let before = (with.total_in(), out.len());
            let status = with.decompress_vec(part, &mut out, FlushDecompress::Sync).map_err(|_| Wrong::Broken)?;
            part = &part[(with.total_in() - before.0) as usize..];
            if out.len() > max {
                return Err(Wrong::Long);
            }
            let stuck = (with.total_in(), out.len()) == before;
            match status {
                // A final block ends the stream; what follows begins a new one (section 7.2.3.5).
                Status::StreamEnd => with.reset(false),
                _ if part.is_empty() && out.len() < out.capacity() => break,
                _ if stuck => return Err(Wrong::Broken),
                _ => {}
            }
            if part.is_empty() && status == Status::StreamEnd {
                break;
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_offer_that_can_be_had_is_taken() {
        let taken = |offers: &str| accept(offers).map(|(deflate, _)| deflate.window);
        assert_eq!(taken("permessage-deflate"), Some(Some(15)));
        assert_eq!(taken("permessage-deflate; client_max_window_bits"), Some(Some(15)));
        assert_eq!(taken("x-other, permessage-deflate;server_max_window_bits=\"10\""), Some(Some(10)));
        assert_eq!(taken("permessage-deflate; server_max_window_bits=8, permessage-deflate"), Some(Some(15)));
        for wrong in [
            "",
            "x",
            "server_max_window_bits",
            "server_max_window_bits=16",
            "server_max_window_bits=09",
            "unknown=1",
            "server_no_context_takeover=1",
            "client_max_window_bits=7",
            "client_max_window_bits; client_max_window_bits",
        ] {
            assert_eq!(taken(&format!("permessage-deflate; {wrong}")), None, "{wrong}");
        }
    }

    #[test]
    fn an_answer_holds_to_the_offer() {
        assert_eq!(agreed("permessage-deflate"), Some(Deflate { window: Some(15), takeover: true }));
        let small = "permessage-deflate; server_no_context_takeover; client_max_window_bits=8";
        assert_eq!(agreed(small), Some(Deflate { window: None, takeover: false }));
        for wrong in [
            "x",
            "permessage-deflate; x",
            "permessage-deflate, permessage-deflate",
            "permessage-deflate; client_max_window_bits",
        ] {
            assert_eq!(agreed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let mut inflate = Deflate { window: None, takeover: true }.inflate();
        let mut read = |bytes: &[u8]| inflate.decompress(bytes, 100).map(|bytes| String::from_utf8(bytes).unwrap());
        // Sections 7.2.3.1, 7.2.3.2, 7.2.3.3 and 7.2.3.4.
        assert_eq!(read(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]).as_deref(), Ok("Hello"));
        assert_eq!(read(&[0xf2, 0x00, 0x11, 0x00, 0x00]).as_deref(), Ok("Hello"));
        assert_eq!(read(&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]).as_deref(), Ok("Hello"));
        assert_eq!(read(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]).as_deref(), Ok("Hello"));
        let two_blocks = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(read(&two_blocks).as_deref(), Ok("Hello"));
    }

    #[test]
    fn a_bomb_is_stopped_and_garbage_refused() {
        let deflate = Deflate { window: Some(15), takeover: false };
        let bomb = deflate.compress(&vec![0; 10 << 20]).unwrap();
        assert!(bomb.len() < 200_000);
        assert_eq!(deflate.inflate().decompress(&bomb, 1 << 20), Err(Wrong::Long));
        assert_eq!(deflate.inflate().decompress(&bomb, 10 << 20).map(|out| out.len()), Ok(10 << 20));
        assert_eq!(deflate.inflate().decompress(&[0xff; 20], 1 << 20), Err(Wrong::Broken));
    }

    proptest! {
        #[test]
        fn what_is_compressed_comes_back(seed in proptest::collection::vec(any::<u8>(), 1..200), times in 1usize..60, bits in 9u8..=15) {
            let message = seed.repeat(times);
            let deflate = Deflate { window: Some(bits), takeover: false };
            if let Some(short) = deflate.compress(&message) {
                prop_assert!(short.len() < message.len());
                prop_assert_eq!(deflate.inflate().decompress(&short, message.len()), Ok(message));
            }
        }
    }
}
