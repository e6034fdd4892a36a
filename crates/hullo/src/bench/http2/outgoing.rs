//! The bodies of requests, as far as the windows of the other end let them go (RFC 9113, section 5.2).

use std::collections::VecDeque;

use bytes::Bytes;

use super::frames::{DATA, END_STREAM, Frame, LONGEST, WIDEST};

/// How wide a window is that nobody has widened.
pub(super) const WINDOW: u32 = (1 << 16) - 1;

/// What is still to be sent, and how much of it may be.
pub(super) struct Outgoing {
    /// The bodies that have not left as a whole, in the order of their requests.
    bodies: VecDeque<Rest>,
    window: i64,
    /// How wide the window of a new stream is.
    initial: i64,
    longest: usize,
}

/// The rest of a body.
struct Rest {
    stream: u32,
    body: Bytes,
    /// A window that was made narrower may be less than nothing (section 6.9.2).
    window: i64,
}

impl Default for Outgoing {
    fn default() -> Self {
        let window = i64::from(WINDOW);
        Self { bodies: VecDeque::new(), window, initial: window, longest: LONGEST }
    }
}

impl Outgoing {
    /// How long a frame may be.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Whether the body of a new request may leave at once, in one frame, whose head is then appended.
    pub(super) fn takes(&mut self, stream: u32, length: usize, out: &mut Vec<u8>) -> bool {
        let most = usize::try_from(self.initial.min(self.window)).unwrap_or_default();
        let takes = length <= most.min(self.longest) && self.bodies.is_empty();
        if takes {
            Frame { length, kind: DATA, flags: END_STREAM, stream }.write(out);
            self.window -= length as i64;
        }
        takes
    }

    /// Takes the body of a new request, and appends what of it may go.
    pub(super) fn send(&mut self, stream: u32, body: Bytes, out: &mut Vec<u8>) {
        self.bodies.push_back(Rest { stream, body, window: self.initial });
        self.pour(out);
    }

    /// Appends as much as may go.
    pub(super) fn pour(&mut self, out: &mut Vec<u8>) {
        let mut at = 0;
        while self.window > 0
            && let Some(rest) = self.bodies.get_mut(at)
        {
            let most = usize::try_from(rest.window.min(self.window)).unwrap_or_default();
            let n = most.min(self.longest).min(rest.body.len());
            if n == 0 {
                at += 1;
                continue;
            }
            let piece = rest.body.split_to(n);
            let last = rest.body.is_empty();
            Frame { length: n, kind: DATA, flags: if last { END_STREAM } else { 0 }, stream: rest.stream }.write(out);
            out.extend_from_slice(&piece);
            rest.window -= n as i64;
            self.window -= n as i64;
            if last {
                self.bodies.remove(at);
            }
        }
    }

    /// Gives up what is left of a body, and says whether there was something.
    pub(super) fn forget(&mut self, stream: u32) -> bool {
        let at = self.bodies.iter().position(|rest| rest.stream == stream);
        at.is_some_and(|at| self.bodies.remove(at).is_some())
    }

    /// The connection's window grows.
    pub(super) fn widen(&mut self, more: u32) -> Result<(), &'static str> {
        widen(&mut self.window, i64::from(more))
    }

    /// That of a stream grows, which may have nothing to send any more.
    pub(super) fn widen_stream(&mut self, stream: u32, more: u32) -> Result<(), &'static str> {
        let rest = self.bodies.iter_mut().find(|rest| rest.stream == stream);
        rest.map_or(Ok(()), |rest| widen(&mut rest.window, i64::from(more)))
    }

    /// Streams begin with another window, and those that there are get what that is more, or less.
    pub(super) fn window_of_streams(&mut self, width: u32) -> Result<(), &'static str> {
        if width > WIDEST {
            return Err("a window is too wide");
        }
        let more = i64::from(width) - self.initial;
        self.initial = i64::from(width);
        self.bodies.iter_mut().try_for_each(|rest| widen(&mut rest.window, more))
    }

    /// Frames may be so long from now on.
    pub(super) fn longest_frame(&mut self, longest: u32) -> Result<(), &'static str> {
        if !(LONGEST as u32..1 << 24).contains(&longest) {
            return Err("frames cannot be that long");
        }
        self.longest = longest as usize;
        Ok(())
    }
}

fn widen(window: &mut i64, more: i64) -> Result<(), &'static str> {
    *window += more;
    if *window > i64::from(WIDEST) { Err("a window is too wide") } else { Ok(()) }
}
