//! A handshake, driven over a socket: rustls says what is to be sent and when it is over, and then hands over its keys.

use std::{io, ops::Deref};

use rustls::{
    ConnectionTrafficSecrets, Error, PeerMisbehaved, ProtocolVersion, SupportedCipherSuite,
    client::{ClientConnectionData, UnbufferedClientConnection},
    kernel::KernelConnection,
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{
        ConnectionState, EncodeError, EncodeTlsData, InsufficientSizeError, UnbufferedConnectionCommon,
        UnbufferedStatus,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::records::{LARGEST, Opener, Sealer, whole};

/// What is read at a time. It mostly holds all that comes at once; a longer chain of certificates comes in several reads.
const READ: usize = 4 << 10;

/// The most that is held of a handshake in which a chain of certificates comes: rustls limits a message to 64 KiB.
pub(super) const LONG: usize = 72 << 10;

/// The most that is held of one in which none is asked for: a full record, and some more.
pub(super) const SHORT: usize = 20 << 10;

/// One end's part in a handshake.
pub(super) trait Part: Deref<Target = UnbufferedConnectionCommon<Self::Data>> + Sized {
    type Data;

    /// Whether what it says last are tickets (RFC 8446, section 4.6.1), for which nobody waits.
    fn ends_with_tickets(&self) -> bool;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    fn keys(self) -> Result<Keys, Error>;
}

impl Part for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn ends_with_tickets(&self) -> bool {
        false
    }

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn keys(self) -> Result<Keys, Error> {
        let (secrets, kernel) = self.dangerous_into_kernel_connection()?;
        Keys::new(Schedule::Client(kernel), secrets.rx, secrets.tx)
    }
}

impl Part for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn ends_with_tickets(&self) -> bool {
        self.protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn keys(self) -> Result<Keys, Error> {
        let (secrets, kernel) = self.dangerous_into_kernel_connection()?;
        Keys::new(Schedule::Server(kernel), secrets.rx, secrets.tx)
    }
}

/// The keys that were agreed on, and what makes the ones after them.
pub(super) struct Keys {
    pub(super) opener: Opener,
    pub(super) sealer: Sealer,
    schedule: Schedule,
}

enum Schedule {
    Client(KernelConnection<ClientConnectionData>),
    Server(KernelConnection<ServerConnectionData>),
}

type Secrets = (u64, ConnectionTrafficSecrets);

impl Keys {
    fn new(schedule: Schedule, opening: Secrets, sealing: Secrets) -> Result<Self, Error> {
        let suite = schedule.suite();
        Ok(Self { opener: Opener::new(suite, opening)?, sealer: Sealer::new(suite, sealing)?, schedule })
    }

    pub(super) fn is_tls13(&self) -> bool {
        self.schedule.suite().version().version == ProtocolVersion::TLSv1_3
    }

    pub(super) fn is_client(&self) -> bool {
        matches!(self.schedule, Schedule::Client(_))
    }

    /// Goes on to the other end's next key (RFC 8446, section 7.2).
    pub(super) fn open_with_next(&mut self) -> Result<(), Error> {
        let secrets = match &mut self.schedule {
            Schedule::Client(kernel) => kernel.update_rx_secret(),
            Schedule::Server(kernel) => kernel.update_rx_secret(),
        };
        self.opener = Opener::new(self.schedule.suite(), secrets?)?;
        Ok(())
    }

    /// Goes on to our next key.
    pub(super) fn seal_with_next(&mut self) -> Result<(), Error> {
        let secrets = match &mut self.schedule {
            Schedule::Client(kernel) => kernel.update_tx_secret(),
            Schedule::Server(kernel) => kernel.update_tx_secret(),
        };
        self.sealer = Sealer::new(self.schedule.suite(), secrets?)?;
        Ok(())
    }

    /// Keeps a ticket with which the session can be resumed.
    pub(super) fn keep_ticket(&mut self, ticket: &[u8]) -> Result<(), Error> {
        match &mut self.schedule {
            Schedule::Client(kernel) => kernel.handle_new_session_ticket(ticket),
            // Who calls has looked.
            Schedule::Server(_) => Ok(()),
        }
    }
}

impl Schedule {
    fn suite(&self) -> SupportedCipherSuite {
        match self {
            Self::Client(kernel) => kernel.negotiated_cipher_suite(),
            Self::Server(kernel) => kernel.negotiated_cipher_suite(),
        }
    }
}

/// A handshake that is over.
pub(super) struct Shaken<P> {
    pub(super) part: P,
    /// What has come behind it.
    pub(super) came: Vec<u8>,
    /// Records with tickets that are to be sent, where there are any: they leave with what is said first.
    pub(super) tickets: Vec<u8>,
}

/// A handshake under way.
pub(super) struct Handshake<'a, P> {
    part: P,
    stream: &'a mut TcpStream,
    incoming: Vec<u8>,
    /// How much of it rustls may see: whole records, and none behind the end of the handshake.
    shown: usize,
    outgoing: Vec<u8>,
    /// How much may be held of what comes.
    most: usize,
    /// The first bytes that came: what answers where TLS should is told by them.
    pub(super) first: Vec<u8>,
}

impl<'a, P: Part> Handshake<'a, P> {
    /// `most` is [`LONG`] or [`SHORT`].
    pub(super) fn new(part: P, stream: &'a mut TcpStream, most: usize) -> Self {
        Self { part, stream, incoming: Vec::new(), shown: 0, outgoing: Vec::new(), most, first: Vec::new() }
    }

    /// Reads what the other end begins with.
    ///
    /// # Errors
    /// The socket's, and its end.
    pub(super) async fn begin(&mut self) -> io::Result<()> {
        self.read().await?;
        self.first.extend(self.incoming.iter().take(7));
        Ok(())
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// The socket's; what rustls objects to is in one of [`io::ErrorKind::InvalidData`].
    pub(super) async fn shake(&mut self) -> io::Result<()> {
        loop {
            match self.step() {
                Ok(Step::Goes) => {}
                Ok(Step::Send) => self.send().await?,
                Ok(Step::Read) => self.show_more().await?,
                Ok(Step::Done) => return Ok(()),
                Err(error) => {
                    self.object();
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
        }
    }

    /// What was agreed on.
    pub(super) fn done(self) -> Shaken<P> {
        Shaken { part: self.part, came: self.incoming, tickets: self.outgoing }
    }

    fn step(&mut self) -> Result<Step, Error> {
        let status = self.part.process(&mut self.incoming[..self.shown]);
        let discard = status.discard;
        let step = match status.state {
            Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outgoing).map(|()| Step::Goes),
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Ok(Step::Send)
            }
            Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => Ok(Step::Read),
            // Nothing that is shown to it lies behind the handshake, and early data is not asked for.
            Ok(_) => Err(Error::HandshakeNotComplete),
            Err(error) => Err(error),
        };
        self.incoming.drain(..discard);
        self.shown -= discard;
        match step {
            // What lies behind the end in the same record was sealed with the keys from before it.
            Ok(Step::Read) if !self.part.is_handshaking() && self.shown > 0 => {
                Err(PeerMisbehaved::KeyEpochWithPendingFragment.into())
            }
            Ok(Step::Read) if !self.part.is_handshaking() => Ok(Step::Done),
            Ok(Step::Send) if !self.part.is_handshaking() && self.part.ends_with_tickets() => Ok(Step::Goes),
            step => step,
        }
    }

    async fn send(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.outgoing).await?;
        self.outgoing.clear();
        Ok(())
    }

    /// Shows one more record. What is none is shown too: rustls has the words for it.
    async fn show_more(&mut self) -> io::Result<()> {
        loop {
            match whole(&self.incoming[self.shown..], LARGEST) {
                Ok(Some(length)) => self.shown += length,
                Err(_) => self.shown = self.incoming.len(),
                Ok(None) if self.first.is_empty() => {
                    self.begin().await?;
                    continue;
                }
                Ok(None) if self.incoming.len() < self.most => {
                    self.read().await?;
                    continue;
                }
                Ok(None) => return Err(io::Error::new(io::ErrorKind::InvalidData, "a handshake without an end")),
            }
            return Ok(());
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        // No more than is used: there may be many whom nobody knows yet.
        self.incoming.reserve_exact(READ);
        match self.stream.read_buf(&mut self.incoming).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Tells the other end what is wrong with it, if that can be said at once: it may not read, and the error is to be told here.
    fn object(&mut self) {
        // What waits to be sent comes before anything that is wrong is looked at again.
        while self.part.wants_write() {
            let Ok(ConnectionState::EncodeTlsData(data)) = self.part.process(&mut []).state else { return };
            if encode(data, &mut self.outgoing).is_err() {
                return;
            }
        }
        // The error that is told here is the one before this.
        let _ = self.stream.try_write(&self.outgoing);
    }
}

enum Step {
    Goes,
    Send,
    Read,
    Done,
}

fn encode<D>(mut data: EncodeTlsData<'_, D>, outgoing: &mut Vec<u8>) -> Result<(), Error> {
    let before = outgoing.len();
    let encoded = match data.encode(&mut []) {
        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
            outgoing.resize(before + required_size, 0);
            data.encode(&mut outgoing[before..])
        }
        encoded => encoded,
    };
    encoded.map(drop).map_err(|error| Error::General(error.to_string()))
}
