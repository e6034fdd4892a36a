//! A conversation as it is read: its two directions, and what is missing in them.

use hullo::traffic::{Form, Way};

use super::{
    heard::Piece,
    http::Unanswered,
    item::{Part, What},
    read::{Next, Reader, View, message},
};

/// The largest body that is gathered to be shown.
const GATHERED: usize = 1 << 20;

/// A conversation that is going on.
pub(super) struct Talk {
    view: View,
    /// How much of a body is shown.
    keep: usize,
    asked: Unanswered,
    up: Side,
    down: Side,
}

/// One direction of it.
#[derive(Default)]
struct Side {
    /// How much went before what comes next.
    next: u64,
    reader: Option<Reader>,
    /// What came last is held, and nobody has been told.
    silent: bool,
}

impl Talk {
    pub(super) fn new(view: View, max: usize) -> Self {
        // Who asks for HTTP wants heads. Who asks for nothing wants to know what is going on.
        let keep = if view == View::Auto { max.min(GATHERED) } else { 0 };
        Self { view, keep, asked: Unanswered::default(), up: Side::default(), down: Side::default() }
    }

    /// Takes in a piece, and gives what can be said of it.
    pub(super) fn piece(&mut self, piece: &Piece, out: &mut Vec<What>) {
        self.look_for_gap(piece.way, piece.at, out);
        self.side(piece.way).next = piece.at + piece.size;
        let whole = piece.form != Form::Stream;
        let part = Part { at: piece.at, size: piece.size, bytes: piece.bytes.clone(), message: whole };
        if whole {
            out.push(message(self.view, part));
        } else {
            self.stream(piece.way, part, out);
        }
    }

    /// The direction has ended.
    pub(super) fn end(&mut self, way: Way, at: u64, out: &mut Vec<What>) {
        self.look_for_gap(way, at, out);
        self.finish(way, out);
    }

    /// Says what is held in a direction in which nothing has come for a while, once.
    pub(super) fn wait(&mut self, way: Way, out: &mut Vec<What>) {
        let side = self.side(way);
        if std::mem::take(&mut side.silent)
            && let Some((of, held)) = side.reader.as_ref().and_then(Reader::held)
        {
            let at = side.next.saturating_sub(held.len() as u64);
            out.push(What::Waiting { of, part: Part { at, size: held.len() as u64, bytes: held, message: false } });
        }
    }

    /// How many bytes are held until they are whole.
    pub(super) fn held(&self) -> usize {
        [&self.up, &self.down].into_iter().filter_map(|side| side.reader.as_ref()).map(Reader::weight).sum()
    }

    /// Says what is held in that direction, and begins anew behind it: there is no room to wait for the rest.
    pub(super) fn let_go(&mut self, way: Way, out: &mut Vec<What>) {
        out.push(What::Remark("too much has come that is not whole yet; this is shown as it is".to_owned()));
        self.finish(way, out);
    }

    /// Whether something is held that nobody has been told of.
    pub(super) fn is_silent(&self) -> bool {
        self.up.silent || self.down.silent
    }

    fn side(&mut self, way: Way) -> &mut Side {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    /// Pieces that could not be kept leave a gap, behind which nothing is known of what follows.
    fn look_for_gap(&mut self, way: Way, at: u64, out: &mut Vec<What>) {
        let gap = at.saturating_sub(self.side(way).next);
        if gap > 0 {
            self.finish(way, out);
            self.asked.forget();
            out.push(What::Missed(gap));
            self.side(way).next = at;
        }
    }

    fn stream(&mut self, way: Way, mut part: Part, out: &mut Vec<What>) {
        loop {
            let (view, keep) = (self.view, self.keep);
            let side = match way {
                Way::Up => &mut self.up,
                Way::Down => &mut self.down,
            };
            let reader = side.reader.get_or_insert_with(|| Reader::first(view, keep));
            match reader.take(part, &mut self.asked, out) {
                Next::Same => {
                    side.silent = reader.held().is_some();
                    return;
                }
                Next::By(other, rest) => {
                    side.reader = Some(other);
                    part = rest;
                }
                // What was agreed on is something new in both directions, and may be anything.
                Next::Anew(rest) => {
                    self.view = View::Auto;
                    (self.up.reader, self.down.reader) = (None, None);
                    part = rest;
                }
            }
            if part.size == 0 {
                return;
            }
        }
    }

    fn finish(&mut self, way: Way, out: &mut Vec<What>) {
        let side = self.side(way);
        let end = side.next;
        side.silent = false;
        if let Some(reader) = side.reader.take() {
            reader.finish(end, out);
        }
    }
}
