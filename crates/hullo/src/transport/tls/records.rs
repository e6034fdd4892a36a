//! Records, the pieces in which TLS travels (RFC 8446, section 5; RFC 5246, section 6): opened in place, and sealed.
//!
//! rustls shakes hands, and then hands over the keys with which it would go on, and its ciphers: inside it, each record is
//! copied three times on its way to whoever reads.

use std::ops::Range;

use rustls::{
    ConnectionTrafficSecrets, ContentType, Error, InvalidMessage, ProtocolVersion, SupportedCipherSuite,
    crypto::cipher::{
        AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundPlainMessage,
    },
};

/// The most that a record carries (RFC 8446, section 5.1).
pub(super) const CARRIED: usize = 16 << 10;

/// The type, the version and the length of what follows.
pub(super) const HEADER: usize = 5;

/// A full record of TLS 1.3: its kind is sealed with it, and each cipher adds 16 bytes (RFC 8446, section 5.2).
pub(super) const FULL: usize = HEADER + CARRIED + 1 + 16;

/// The largest record: TLS 1.2 lets a cipher add 2 KiB (RFC 5246, section 6.2.3).
pub(super) const LARGEST: usize = HEADER + CARRIED + (2 << 10);

/// The largest record of TLS 1.3 (RFC 8446, section 5.2).
pub(super) const LARGEST13: usize = HEADER + CARRIED + 256;

/// How long the record is with which `bytes` begin, at most `longest`; nothing where not all of it is there yet.
pub(super) fn whole(bytes: &[u8], longest: usize) -> Result<Option<usize>, InvalidMessage> {
    let Some(&[kind, major, ..]) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
    let length = length(bytes);
    match (kind, major) {
        (20..=24, 3) if length <= longest => Ok((length <= bytes.len()).then_some(length)),
        (20..=24, 3) => Err(InvalidMessage::MessageTooLarge),
        (20..=24, _) => Err(InvalidMessage::UnknownProtocolVersion),
        _ => Err(InvalidMessage::InvalidContentType),
    }
}

/// How many bytes are missing of the record that `bytes` are the beginning of, or else of its header.
pub(super) fn missing(bytes: &[u8]) -> usize {
    length(bytes).saturating_sub(bytes.len())
}

/// How long a record is, or else the header that will say so.
fn length(bytes: &[u8]) -> usize {
    match bytes {
        [_, _, _, high, low, ..] => HEADER + usize::from(u16::from_be_bytes([*high, *low])),
        _ => HEADER,
    }
}

/// What opens the records of the other end.
pub(super) struct Opener {
    cipher: Box<dyn MessageDecrypter>,
    next: u64,
    /// What stands before what is sealed: the header, and in TLS 1.2 mostly a part of the nonce (RFC 5288, section 3).
    before: usize,
}

impl Opener {
    pub(super) fn new(
        suite: SupportedCipherSuite,
        (next, secrets): (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, Error> {
        let (key, iv) = key(secrets)?;
        let (cipher, nonce) = match suite {
            SupportedCipherSuite::Tls13(suite) => (suite.aead_alg.decrypter(key, iv), 0),
            SupportedCipherSuite::Tls12(suite) => {
                let shape = suite.aead_alg.key_block_shape();
                (suite.aead_alg.decrypter(key, &iv.as_ref()[..shape.fixed_iv_len]), shape.explicit_nonce_len)
            }
        };
        Ok(Self { cipher, next, before: HEADER + nonce })
    }

    /// Opens a whole record where it stands. Returns what kind it is of, and where in it its contents are.
    pub(super) fn open(&mut self, record: &mut [u8]) -> Result<(ContentType, Range<usize>), Error> {
        let [kind, major, minor, _, _, sealed @ ..] = record else { return Err(Error::DecryptError) };
        let version = ProtocolVersion::from(u16::from_be_bytes([*major, *minor]));
        let sealed = InboundOpaqueMessage::new(ContentType::from(*kind), version, sealed);
        let after = self.next.checked_add(1).ok_or(Error::DecryptError)?;
        let plain = self.cipher.decrypt(sealed, self.next)?;
        self.next = after;
        Ok((plain.typ, self.before..self.before + plain.payload.len()))
    }
}

/// What seals our records.
pub(super) struct Sealer {
    cipher: Box<dyn MessageEncrypter>,
    next: u64,
    /// How many records the key may seal before it is worn out (RFC 8446, section 5.5).
    most: u64,
}

impl Sealer {
    pub(super) fn new(
        suite: SupportedCipherSuite,
        (next, secrets): (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, Error> {
        let (key, iv) = key(secrets)?;
        let (cipher, most) = match suite {
            SupportedCipherSuite::Tls13(suite) => {
                (suite.aead_alg.encrypter(key, iv), suite.common.confidentiality_limit)
            }
            SupportedCipherSuite::Tls12(suite) => {
                let (fixed, explicit) = iv.as_ref().split_at(suite.aead_alg.key_block_shape().fixed_iv_len);
                (suite.aead_alg.encrypter(key, fixed, explicit), suite.common.confidentiality_limit)
            }
        };
        let mut sealer = Self { cipher, next: 0, most };
        // AWS-LC checks that the numbers of records grow, and takes the first one that it sees for 0. What is sealed here
        // is not sent, and so does not use that number a second time.
        if next > 0 {
            sealer.seal(ContentType::ApplicationData, OutboundChunks::new_empty())?;
        }
        sealer.next = next;
        Ok(sealer)
    }

    #[cfg(test)]
    pub(super) fn wear_out(&mut self, left: u64) {
        self.most = self.next + left;
    }

    /// How many records it can still seal.
    pub(super) fn left(&self) -> u64 {
        self.most.saturating_sub(self.next)
    }

    /// Seals at most [`CARRIED`] bytes as a record.
    pub(super) fn seal(&mut self, kind: ContentType, payload: OutboundChunks<'_>) -> Result<Vec<u8>, Error> {
        let plain = OutboundPlainMessage { typ: kind, version: ProtocolVersion::TLSv1_2, payload };
        let after = self.next.checked_add(1).ok_or(Error::EncryptError)?;
        let record = self.cipher.encrypt(plain, self.next)?.encode();
        self.next = after;
        Ok(record)
    }
}

fn key(secrets: ConnectionTrafficSecrets) -> Result<(AeadKey, Iv), Error> {
    use ConnectionTrafficSecrets::{Aes128Gcm, Aes256Gcm, Chacha20Poly1305};
    match secrets {
        Aes128Gcm { key, iv } | Aes256Gcm { key, iv } | Chacha20Poly1305 { key, iv } => Ok((key, iv)),
        _ => Err(Error::General("the cipher that was agreed on is unknown here".into())),
    }
}
