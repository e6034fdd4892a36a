//! What TLS says besides the data once hands are shaken: farewells and refusals, new keys, and tickets.
//!
//! It is what rustls does in its own connections, with its limits on a peer who only keeps us busy. There is no IO here.

use std::{mem::take, ops::Range};

use rustls::{
    AlertDescription as Alert, ContentType, Error, HandshakeType, InvalidMessage, PeerMisbehaved,
    crypto::cipher::OutboundChunks,
};

use super::{
    handshake::Keys,
    owed::Owed,
    records::{CARRIED, LARGEST, LARGEST13},
};

/// The longest message of a handshake, as in rustls.
const LONGEST: usize = 0xffff;

/// The message that says that our next record has another key, and asks for none of the other end (RFC 8446, section 4.6.3).
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

/// An encrypted conversation: records come in, data comes out, and the other way round.
pub(super) struct Conversation {
    keys: Keys,
    patience: Patience,
    /// The beginning of a message of the handshake's kind that came in several records.
    message: Vec<u8>,
    /// The other end has said farewell.
    pub(super) ended: bool,
    /// We have said farewell, or that something is wrong.
    closed: bool,
}

/// How much more of each thing is borne that has no use in such numbers.
struct Patience {
    empty: u8,
    warnings: u8,
    renegotiations: u8,
    updates: u8,
}

/// How many empty records there may be without one that is not, and how many changes of keys without data.
const PATIENCE: u8 = 32;

impl Conversation {
    pub(super) fn new(keys: Keys) -> Self {
        let patience = Patience { empty: PATIENCE, warnings: 4, renegotiations: 1, updates: PATIENCE };
        Self { keys, patience, message: Vec::new(), ended: false, closed: false }
    }

    /// Opens a whole record where it stands, and returns where in it the data is. What is to be said to it is appended to `owed`, also that it was
    /// not understood.
    ///
    /// # Errors
    /// What is wrong with it; the conversation is then over.
    pub(super) fn open(&mut self, record: &mut [u8], owed: &mut Owed) -> Result<Range<usize>, Error> {
        self.listen(record, owed).map_err(|error| self.refuse(error, owed))
    }

    /// Tells the other end what is wrong, unless it was the one who said so; that is then the end.
    pub(super) fn refuse(&mut self, error: Error, owed: &mut Owed) -> Error {
        let what = match &error {
            Error::AlertReceived(_) => {
                self.closed = true;
                return error;
            }
            Error::DecryptError => Alert::BadRecordMac,
            Error::PeerSentOversizedRecord | Error::InvalidMessage(InvalidMessage::MessageTooLarge) => {
                Alert::RecordOverflow
            }
            Error::InvalidMessage(InvalidMessage::InvalidKeyUpdate) => Alert::IllegalParameter,
            Error::InvalidMessage(_) => Alert::DecodeError,
            Error::EncryptError | Error::General(_) => Alert::InternalError,
            _ => Alert::UnexpectedMessage,
        };
        self.alert(Level::Fatal, what, owed);
        error
    }

    /// Seals at most [`CARRIED`] bytes.
    ///
    /// # Errors
    /// A key is worn out, and TLS 1.2 knows no other one.
    pub(super) fn seal(&mut self, data: OutboundChunks<'_>, owed: &mut Owed) -> Result<(), Error> {
        debug_assert!(data.len() <= CARRIED);
        if self.keys.sealer.left() <= 1 {
            if !self.keys.is_tls13() {
                self.close(owed);
                return Err(Error::EncryptError);
            }
            self.change_keys(owed)?;
        }
        owed.push(self.keys.sealer.seal(ContentType::ApplicationData, data)?);
        Ok(())
    }

    /// Says farewell, if nothing final was said yet.
    pub(super) fn close(&mut self, owed: &mut Owed) {
        self.alert(Level::Warning, Alert::CloseNotify, owed);
    }

    /// Whether we have said the last that we have to say.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether a message has begun whose rest is still to come.
    pub(super) fn is_in_message(&self) -> bool {
        !self.message.is_empty()
    }

    /// How long a record may be.
    pub(super) fn longest_record(&self) -> usize {
        if self.keys.is_tls13() { LARGEST13 } else { LARGEST }
    }

    /// As if the key could seal only as many records more.
    #[cfg(test)]
    pub(super) fn wear_out(&mut self, left: u64) {
        self.keys.sealer.wear_out(left);
    }

    /// Seals anything, as if it were to be said now.
    #[cfg(test)]
    pub(super) fn say(&mut self, kind: ContentType, what: &[u8]) -> Result<Vec<u8>, Error> {
        let record = self.keys.sealer.seal(kind, OutboundChunks::Single(what))?;
        if kind == ContentType::Handshake && what == KEY_UPDATE {
            self.keys.seal_with_next()?;
        }
        Ok(record)
    }

    /// How much is held of a message that has begun.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.message.capacity()
    }

    fn listen(&mut self, record: &mut [u8], owed: &mut Owed) -> Result<Range<usize>, Error> {
        let outer = ContentType::from(record.first().copied().unwrap_or_default());
        // All of TLS 1.3's records look alike now (RFC 8446, section 5.2).
        if self.keys.is_tls13() && outer != ContentType::ApplicationData {
            return Err(unexpected(outer));
        }
        let (kind, contents) = self.keys.opener.open(record)?;
        if kind != ContentType::Handshake && self.is_in_message() {
            return Err(PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into());
        }
        match (kind, contents.is_empty()) {
            (ContentType::ApplicationData, true) => {
                bear(&mut self.patience.empty, PeerMisbehaved::TooManyEmptyFragments)?;
            }
            // Only data may be empty (RFC 8446, section 5.4; RFC 5246, section 6.2.1).
            (_, true) => return Err(unexpected(kind)),
            // Only data is what all the rest is for.
            (ContentType::ApplicationData, false) => {
                (self.patience.empty, self.patience.updates) = (PATIENCE, PATIENCE);
            }
            _ => {}
        }
        match kind {
            ContentType::ApplicationData => return Ok(contents),
            ContentType::Alert => self.hear_alert(&record[contents])?,
            ContentType::Handshake => {
                self.message.extend_from_slice(&record[contents]);
                self.hear_messages(owed)?;
            }
            other => return Err(unexpected(other)),
        }
        Ok(0..0)
    }

    fn hear_alert(&mut self, payload: &[u8]) -> Result<(), Error> {
        let &[level, what] = payload else { return Err(InvalidMessage::MessageTooShort.into()) };
        let what = Alert::from(what);
        match (level, what) {
            (1 | 2, Alert::CloseNotify) => self.ended = true,
            (1, _) => {
                bear(&mut self.patience.warnings, PeerMisbehaved::TooManyWarningAlertsReceived)?;
                // In TLS 1.3 all others are errors, whatever they say of themselves (RFC 8446, section 6).
                if self.keys.is_tls13() && what != Alert::UserCanceled {
                    return Err(Error::AlertReceived(what));
                }
            }
            _ => return Err(Error::AlertReceived(what)),
        }
        Ok(())
    }

    /// Hears the whole messages that there are, and holds the beginning of one that may come.
    fn hear_messages(&mut self, owed: &mut Owed) -> Result<(), Error> {
        let mut held = take(&mut self.message);
        let mut heard = 0;
        while let Some((&[kind, high, middle, low], behind)) = held[heard..].split_first_chunk() {
            let kind = HandshakeType::from(kind);
            let length = u32::from_be_bytes([0, high, middle, low]) as usize;
            if length > self.longest_message(kind)? {
                return Err(InvalidMessage::HandshakePayloadTooLarge.into());
            }
            let Some((body, behind)) = behind.split_at_checked(length) else { break };
            self.hear(kind, body, behind.is_empty(), owed)?;
            heard = held.len() - behind.len();
        }
        held.drain(..heard);
        if !held.is_empty() {
            self.message = held;
        }
        Ok(())
    }

    /// How long a message of that kind may be, if one may come at all.
    fn longest_message(&self, kind: HandshakeType) -> Result<usize, Error> {
        match (self.keys.is_tls13(), self.keys.is_client(), kind) {
            (true, _, HandshakeType::KeyUpdate) => Ok(1),
            (true, true, HandshakeType::NewSessionTicket) | (false, false, HandshakeType::ClientHello) => Ok(LONGEST),
            (false, true, HandshakeType::HelloRequest) => Ok(0),
            _ => Err(Error::InappropriateHandshakeMessage { expect_types: Vec::new(), got_type: kind }),
        }
    }

    fn hear(&mut self, kind: HandshakeType, body: &[u8], is_last: bool, owed: &mut Owed) -> Result<(), Error> {
        match kind {
            HandshakeType::KeyUpdate => self.hear_key_update(body, is_last, owed),
            HandshakeType::NewSessionTicket => self.keys.keep_ticket(body),
            // The others that may come ask to shake hands anew.
            _ => {
                bear(&mut self.patience.renegotiations, PeerMisbehaved::TooManyRenegotiationRequests)?;
                self.alert(Level::Warning, Alert::NoRenegotiation, owed);
                Ok(())
            }
        }
    }

    fn hear_key_update(&mut self, body: &[u8], is_last: bool, owed: &mut Owed) -> Result<(), Error> {
        bear(&mut self.patience.updates, PeerMisbehaved::TooManyKeyUpdateRequests)?;
        let &[asks] = body else { return Err(InvalidMessage::MessageTooShort.into()) };
        if asks > 1 {
            return Err(InvalidMessage::InvalidKeyUpdate.into());
        }
        if !is_last {
            return Err(PeerMisbehaved::KeyEpochWithPendingFragment.into());
        }
        self.keys.open_with_next()?;
        if asks == 1 && !owed.answered && !self.closed {
            self.change_keys(owed)?;
            owed.answered = true;
        }
        Ok(())
    }

    fn change_keys(&mut self, owed: &mut Owed) -> Result<(), Error> {
        owed.push(self.keys.sealer.seal(ContentType::Handshake, OutboundChunks::Single(&KEY_UPDATE))?);
        self.keys.seal_with_next()
    }

    fn alert(&mut self, level: Level, what: Alert, owed: &mut Owed) {
        if self.closed {
            return;
        }
        self.closed = level == Level::Fatal || what == Alert::CloseNotify;
        // What cannot be sealed cannot be said.
        if let Ok(record) =
            self.keys.sealer.seal(ContentType::Alert, OutboundChunks::Single(&[level as u8, u8::from(what)]))
        {
            owed.push(record);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Warning = 1,
    Fatal = 2,
}

fn bear(patience: &mut u8, too_many: PeerMisbehaved) -> Result<(), Error> {
    *patience = patience.checked_sub(1).ok_or(too_many)?;
    Ok(())
}

fn unexpected(got: ContentType) -> Error {
    Error::InappropriateMessage { expect_types: vec![ContentType::ApplicationData], got_type: got }
}
