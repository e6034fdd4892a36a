//! The other end of a TLS stream: it shakes hands as it should, and seals what it should not.

use rustls::{
    ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite,
    client::{ClientConnectionData, UnbufferedClientConnection},
    crypto::cipher::{AeadKey, Iv, MessageEncrypter, OutboundChunks, OutboundPlainMessage},
    kernel::KernelConnection,
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{ConnectionState, EncodeError, InsufficientSizeError},
};

use super::{Configs, name};

/// The other end while hands are shaken.
pub(super) struct Other {
    part: Part,
    suite: SupportedCipherSuite,
}

enum Part {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

impl Other {
    pub(super) fn new(configs: &Configs, as_client: bool) -> Self {
        let part = match as_client {
            true => UnbufferedClientConnection::new(configs.client.clone(), name()).map(Part::Client),
            false => UnbufferedServerConnection::new(configs.server.clone()).map(Part::Server),
        };
        Self { part: part.unwrap_or_else(|error| panic!("{error}")), suite: configs.suite }
    }

    /// Goes on as far as can be. Whether the handshake is over.
    pub(super) fn step(&mut self, incoming: &mut Vec<u8>, outgoing: &mut Vec<u8>) -> bool {
        match &mut self.part {
            Part::Client(part) => step(incoming, outgoing, |bytes, out| {
                let status = part.process_tls_records(bytes);
                (status.discard, status.state.map(|state| said_by(state, out)))
            }),
            Part::Server(part) => step(incoming, outgoing, |bytes, out| {
                let status = part.process_tls_records(bytes);
                (status.discard, status.state.map(|state| said_by(state, out)))
            }),
        }
    }
}

/// How far a handshake is.
enum Step {
    Goes,
    Waits,
    Done,
}

fn step(
    incoming: &mut Vec<u8>,
    outgoing: &mut Vec<u8>,
    mut process: impl FnMut(&mut [u8], &mut Vec<u8>) -> (usize, Result<Step, rustls::Error>),
) -> bool {
    loop {
        let (discard, step) = process(incoming, outgoing);
        incoming.drain(..discard);
        match step {
            Ok(Step::Goes) => {}
            Ok(Step::Waits) => return false,
            Ok(Step::Done) => return true,
            Err(error) => panic!("our end does not shake hands: {error}"),
        }
    }
}

fn said_by<D>(state: ConnectionState<'_, '_, D>, out: &mut Vec<u8>) -> Step {
    match state {
        ConnectionState::EncodeTlsData(mut data) => {
            let before = out.len();
            if let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) = data.encode(&mut []) {
                out.resize(before + required_size, 0);
                assert!(data.encode(&mut out[before..]).is_ok());
            }
            Step::Goes
        }
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Step::Goes
        }
        ConnectionState::WriteTraffic(_) => Step::Done,
        _ => Step::Waits,
    }
}

/// The other end once hands are shaken: it seals anything.
pub(super) struct Forger {
    schedule: Schedule,
    suite: SupportedCipherSuite,
    cipher: Box<dyn MessageEncrypter>,
    next: u64,
}

enum Schedule {
    Client(KernelConnection<ClientConnectionData>),
    Server(KernelConnection<ServerConnectionData>),
}

impl Forger {
    pub(super) fn new(Other { part, suite }: Other) -> Self {
        let parts = match part {
            Part::Client(part) => {
                part.dangerous_into_kernel_connection().map(|(secrets, kernel)| (secrets.tx, Schedule::Client(kernel)))
            }
            Part::Server(part) => {
                part.dangerous_into_kernel_connection().map(|(secrets, kernel)| (secrets.tx, Schedule::Server(kernel)))
            }
        };
        let (secrets, schedule) = parts.unwrap_or_else(|error| panic!("{error}"));
        let (cipher, next) = sealer(suite, secrets);
        Self { schedule, suite, cipher, next }
    }

    /// What a plan says: each of its words is a byte, of which three bits choose what it is and five how long it is, and so
    /// many bytes behind it.
    pub(super) fn say(mut self, plan: &[u8]) -> Vec<u8> {
        let (mut said, mut rest) = (Vec::new(), plan);
        while let Some((word, behind)) = rest.split_first() {
            let (bytes, behind) = behind.split_at(behind.len().min(usize::from(word >> 3)));
            rest = behind;
            let first = bytes.first().copied().unwrap_or_default();
            match word & 7 {
                0 => said.extend(self.seal(ContentType::ApplicationData, bytes)),
                // Full records, and some that are too full.
                1 => said.extend(self.seal(ContentType::ApplicationData, &bytes.repeat(1024))),
                2 => said.extend(self.seal(ContentType::Alert, bytes)),
                3 => said.extend(self.seal(ContentType::Handshake, bytes)),
                4 => said.extend(self.seal(ContentType::from(first), bytes.get(1..).unwrap_or_default())),
                // Nobody has sealed it.
                5 => said.extend_from_slice(bytes),
                6 => {
                    let mut record = self.seal(ContentType::ApplicationData, bytes);
                    let at = usize::from(first) % record.len();
                    record[at] ^= 1 << (word >> 5);
                    said.extend(record);
                }
                _ => {
                    said.extend(self.seal(ContentType::Handshake, &[24, 0, 0, 1, first & 1]));
                    self.change_keys();
                }
            }
        }
        said
    }

    fn seal(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
        let payload = OutboundChunks::Single(payload);
        let plain = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload };
        let record = self.cipher.encrypt(plain, self.next).map(|message| message.encode());
        self.next += 1;
        record.unwrap_or_else(|error| panic!("{error}"))
    }

    fn change_keys(&mut self) {
        let secrets = match &mut self.schedule {
            Schedule::Client(kernel) => kernel.update_tx_secret(),
            Schedule::Server(kernel) => kernel.update_tx_secret(),
        };
        // TLS 1.2 knows no other keys.
        if let Ok(secrets) = secrets {
            (self.cipher, self.next) = sealer(self.suite, secrets);
        }
    }
}

fn sealer(
    suite: SupportedCipherSuite,
    (next, secrets): (u64, ConnectionTrafficSecrets),
) -> (Box<dyn MessageEncrypter>, u64) {
    let (key, iv) = key(secrets);
    let mut cipher = match suite {
        SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
        SupportedCipherSuite::Tls12(suite) => {
            let (fixed, explicit) = iv.as_ref().split_at(suite.aead_alg.key_block_shape().fixed_iv_len);
            suite.aead_alg.encrypter(key, fixed, explicit)
        }
    };
    // AWS-LC takes the first number that it sees for 0.
    if next > 0 {
        let payload = OutboundChunks::new_empty();
        let (typ, version) = (ContentType::ApplicationData, ProtocolVersion::TLSv1_2);
        assert!(cipher.encrypt(OutboundPlainMessage { typ, version, payload }, 0).is_ok());
    }
    (cipher, next)
}

fn key(secrets: ConnectionTrafficSecrets) -> (AeadKey, Iv) {
    use ConnectionTrafficSecrets::{Aes128Gcm, Aes256Gcm, Chacha20Poly1305};
    match secrets {
        Aes128Gcm { key, iv } | Aes256Gcm { key, iv } | Chacha20Poly1305 { key, iv } => (key, iv),
        _ => panic!("a cipher that nobody has chosen"),
    }
}
