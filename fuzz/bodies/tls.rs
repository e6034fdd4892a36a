//! A TLS stream of ours, and another end that seals whatever it likes. What rustls' own connection makes of the same is what
//! ours must make of it: our records are driven by us, with the keys of its handshake.

use std::{
    cell::RefCell,
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use hullo::{Address, BoxFuture, BoxStream, Error, Kind, Limits, Link, Scope, Server, Service};
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection, SupportedCipherSuite,
    crypto::{
        CryptoProvider, aws_lc_rs,
        aws_lc_rs::cipher_suite::{
            TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            TLS13_AES_128_GCM_SHA256, TLS13_CHACHA20_POLY1305_SHA256,
        },
    },
    pki_types::{PrivateKeyDer, ServerName},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};

#[path = "tls/forger.rs"]
mod forger;

use forger::{Forger, Other};

/// The first byte chooses which end is ours, the cipher, and whether hands are shaken before; the second how what is said is
/// cut, and into how much room it is read. The rest is what the other end says: see [`Forger::say`]. Our end passes on what
/// rustls passes on, and objects where it objects.
pub fn tls(bytes: &[u8]) {
    let &[how, cut, ref plan @ ..] = bytes else { return };
    let (suite, is_client) = (SUITES[usize::from(how & 3)], how & 4 != 0);
    let (cut, room) = (usize::from(cut >> 3), ROOMS[usize::from(cut & 7) % ROOMS.len()]);
    HERE.with_borrow_mut(|here| {
        let here = here.get_or_insert_with(Here::new);
        here.room.store(room, Relaxed);
        if how & 8 != 0 {
            return here.strangers(is_client, plan, cut);
        }
        let configs = Configs::of(here, suite);
        let heard = here.heard(&configs, is_client, plan, cut);
        let expected = by_rustls(&configs, is_client, plan);
        // What somebody asks for anew in TLS 1.2 is refused in any case: rustls reads it before, and ours does not.
        let may_go_on = suite.version() == &TLS12 && !is_client && matches!(expected.end, End::Refused);
        let is_same = heard.data == expected.data || may_go_on && heard.data.starts_with(&expected.data);
        assert!(is_same, "{} bytes instead of {}", heard.data.len(), expected.data.len());
        match (&expected.end, &heard.end) {
            _ if may_go_on => {}
            (End::Refused, End::Refused) | (End::Farewell, End::Farewell) => {}
            // To a client an end without a farewell is a cut, and to a server one amid a record or a message is.
            (End::Cut, End::Cut) => {}
            // rustls waits for the rest of a record that is too long.
            (End::Cut, End::Refused) => {}
            (End::Cut, End::Farewell) if !is_client => {}
            (expected, heard) => panic!("{heard:?} instead of {expected:?}"),
        }
    });
}

const SUITES: [SupportedCipherSuite; 4] = [
    TLS13_AES_128_GCM_SHA256,
    TLS13_CHACHA20_POLY1305_SHA256,
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// How much is read at a time: some of them are less than a record, and some more than several.
const ROOMS: [usize; 5] = [1 << 17, 17_000, 5000, 77, 1];

/// Never near.
const DEADLINE: Duration = Duration::from_secs(20);

thread_local! {
    static HERE: RefCell<Option<Here>> = const { RefCell::new(None) };
}

/// What an end has heard.
struct Heard {
    data: Vec<u8>,
    end: End,
}

/// How it came to its end.
#[derive(Debug)]
enum End {
    /// The other end has said so, or to a server just ended.
    Farewell,
    /// It has ended without a word.
    Cut,
    /// What it says is wrong, or that we are.
    Refused,
}

/// Our server, which lives as long as its thread, and where our client connects to.
struct Here {
    runtime: Runtime,
    server: Server,
    scope: Scope,
    listener: TcpListener,
    heard: UnboundedReceiver<Heard>,
    room: Arc<AtomicUsize>,
    certificate: rcgen::CertifiedKey<rcgen::KeyPair>,
}

/// A service that only hears.
struct Hears {
    tell: UnboundedSender<Heard>,
    room: Arc<AtomicUsize>,
}

impl Service for Hears {
    fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, hullo::Result<()>> {
        Box::pin(async move {
            let _ = self.tell.send(all(link.stream(), self.room.load(Relaxed)).await);
            Ok(())
        })
    }
}

/// All that a stream gives.
async fn all(mut stream: BoxStream, room: usize) -> Heard {
    let (mut data, mut space) = (Vec::new(), vec![0; room]);
    loop {
        match stream.read(&mut space).await {
            Ok(0) => return Heard { data, end: End::Farewell },
            Ok(n) => data.extend_from_slice(&space[..n]),
            Err(error) => {
                let is_cut = Error::io("", error).kind() == Kind::Cut;
                return Heard { data, end: if is_cut { End::Cut } else { End::Refused } };
            }
        }
    }
}

impl Here {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap_or_else(|error| panic!("{error}"));
        let certificate = rcgen::generate_simple_self_signed(vec!["localhost".into()]);
        let certificate = certificate.unwrap_or_else(|error| panic!("{error}"));
        let pem = certificate.signing_key.serialize_pem() + &certificate.cert.pem();
        let file = std::env::temp_dir().join(format!("hullo-fuzz-{}.pem", std::process::id()));
        assert!(std::fs::write(&file, pem).is_ok(), "no room in {}", file.display());
        let (tell, heard) = unbounded_channel();
        let (scope, room) = (Scope::new(Limits::server(), None), Arc::new(AtomicUsize::new(1)));
        let mut server = Server::new(scope.clone());
        let address = format!("tls://127.0.0.1:0?cert={0}&key={0}", file.display());
        let service = Arc::new(Hears { tell, room: room.clone() });
        let listener = runtime.block_on(async {
            let listens = server.listen(&parsed(&address), service).await;
            assert!(listens.is_ok(), "{listens:?}");
            TcpListener::bind("127.0.0.1:0").await
        });
        let listener = listener.unwrap_or_else(|error| panic!("{error}"));
        Self { runtime, server, scope, listener, heard, room, certificate }
    }

    /// What our end hears of another one that shakes hands and says all of this.
    fn heard(&mut self, configs: &Configs, is_client: bool, plan: &[u8], cut: usize) -> Heard {
        let Self { runtime, server, scope, listener, heard, room, .. } = self;
        let room = room.load(Relaxed);
        let all = async {
            if is_client {
                let to = client_address(listener);
                let ours = async {
                    let link = hullo::dial(&parsed(&to), scope).await;
                    all(link.unwrap_or_else(|error| panic!("no handshake: {error}")).stream(), room).await
                };
                let theirs = async { talk(accepted(listener).await, Other::new(configs, false), plan, cut).await };
                let (heard, _socket) = tokio::join!(ours, theirs);
                Some(heard)
            } else {
                let socket = TcpStream::connect(server.address().authority()).await;
                let socket = socket.unwrap_or_else(|error| panic!("{error}"));
                let _socket = talk(socket, Other::new(configs, true), plan, cut).await;
                heard.recv().await
            }
        };
        let heard = runtime.block_on(async { timeout(DEADLINE, all).await });
        heard.ok().flatten().unwrap_or_else(|| panic!("our end does not end"))
    }

    /// Nobody shakes hands: what comes is any bytes.
    fn strangers(&mut self, is_client: bool, bytes: &[u8], cut: usize) {
        let Self { runtime, server, scope, listener, .. } = self;
        let all = async {
            if is_client {
                let to = client_address(listener);
                let ours = async {
                    let link = hullo::dial(&parsed(&to), scope).await;
                    assert!(link.is_err(), "a handshake with nobody");
                };
                let theirs = async { said(&mut accepted(listener).await, bytes, cut).await };
                tokio::join!(ours, theirs);
            } else {
                let socket = TcpStream::connect(server.address().authority()).await;
                said(&mut socket.unwrap_or_else(|error| panic!("{error}")), bytes, cut).await;
            }
        };
        let ended = runtime.block_on(async { timeout(DEADLINE, all).await });
        assert!(ended.is_ok(), "our end does not end");
        assert!(self.heard.try_recv().is_err(), "a stranger is served");
    }
}

fn parsed(address: &str) -> Address {
    address.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn client_address(listener: &TcpListener) -> String {
    let port = listener.local_addr().map_or(0, |address| address.port());
    format!("tls://127.0.0.1:{port}?insecure=yes")
}

async fn accepted(listener: &TcpListener) -> TcpStream {
    listener.accept().await.unwrap_or_else(|error| panic!("{error}")).0
}

/// Says all of it in pieces, and then that it is all; hears the other end out.
async fn said(socket: &mut TcpStream, bytes: &[u8], cut: usize) {
    written(socket, bytes, cut).await;
    let mut answers = Vec::new();
    // It may have hung up with some of it unread.
    let _ = socket.read_to_end(&mut answers).await;
}

/// A cut of 0 is none.
async fn written(socket: &mut TcpStream, bytes: &[u8], cut: usize) {
    let cut = if cut == 0 { usize::MAX } else { cut.max(bytes.len() / 200) };
    for piece in bytes.chunks(cut) {
        // Who objects may have gone.
        if socket.write_all(piece).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    let _ = socket.shutdown().await;
}

/// Shakes hands as the other end, and says what is planned. The socket stays open for what is said back; when it closes no
/// port is kept for it.
async fn talk(mut socket: TcpStream, mut other: Other, plan: &[u8], cut: usize) -> TcpStream {
    let _ = (socket.set_nodelay(true), socket.set_zero_linger());
    let (mut incoming, mut outgoing) = (Vec::new(), Vec::new());
    loop {
        let is_done = other.step(&mut incoming, &mut outgoing);
        assert!(socket.write_all(&outgoing).await.is_ok(), "our end hangs up during the handshake");
        outgoing.clear();
        if is_done {
            break;
        }
        let n = socket.read_buf(&mut incoming).await;
        assert!(n.is_ok_and(|n| n > 0), "our end hangs up during the handshake");
    }
    let said = Forger::new(other).say(plan);
    written(&mut socket, &said, cut).await;
    socket
}

/// What rustls hears of the same.
fn by_rustls(configs: &Configs, is_client: bool, plan: &[u8]) -> Heard {
    let mut connection: Connection = match is_client {
        true => ClientConnection::new(configs.client.clone(), name()).map(Into::into),
        false => ServerConnection::new(configs.server.clone()).map(Into::into),
    }
    .unwrap_or_else(|error| panic!("{error}"));
    let mut other = Other::new(configs, !is_client);
    let (mut incoming, mut outgoing, mut is_done) = (Vec::new(), Vec::new(), false);
    while !is_done || connection.is_handshaking() {
        while connection.wants_write() {
            assert!(connection.write_tls(&mut incoming).is_ok());
        }
        is_done = other.step(&mut incoming, &mut outgoing);
        let mut rest = &outgoing[..];
        while !rest.is_empty() {
            assert!(connection.read_tls(&mut rest).is_ok() && connection.process_new_packets().is_ok());
        }
        outgoing.clear();
    }
    let said = Forger::new(other).say(plan);
    let (mut rest, mut data, mut end) = (&said[..], Vec::new(), End::Cut);
    while !rest.is_empty() && matches!(connection.read_tls(&mut rest), Ok(1..)) {
        match connection.process_new_packets() {
            Ok(state) if state.peer_has_closed() => end = End::Farewell,
            Ok(_) => {}
            Err(_) => end = End::Refused,
        }
        // It ends with a complaint where there is no more yet.
        let _ = connection.reader().read_to_end(&mut data);
        if !matches!(end, End::Cut) {
            break;
        }
    }
    Heard { data, end }
}

/// Both ends, with one cipher.
struct Configs {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    suite: SupportedCipherSuite,
}

impl Configs {
    fn of(here: &Here, suite: SupportedCipherSuite) -> Self {
        let kx_groups = vec![aws_lc_rs::kx_group::X25519];
        let provider = CryptoProvider { cipher_suites: vec![suite], kx_groups, ..aws_lc_rs::default_provider() };
        let (provider, versions) = (Arc::new(provider), [if suite.tls13().is_some() { &TLS13 } else { &TLS12 }]);
        let certificate = here.certificate.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(here.certificate.signing_key.serialize_der().into());
        let mut roots = RootCertStore::empty();
        let _ = roots.add(certificate.clone());
        let client = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&versions);
        let mut client = client.unwrap_or_else(wrong).with_root_certificates(roots).with_no_client_auth();
        let server = ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions);
        let server = server.unwrap_or_else(wrong).with_no_client_auth().with_single_cert(vec![certificate], key);
        let mut server = server.unwrap_or_else(wrong);
        (client.enable_secret_extraction, server.enable_secret_extraction) = (true, true);
        Self { client: Arc::new(client), server: Arc::new(server), suite }
    }
}

fn wrong<T>(error: rustls::Error) -> T {
    panic!("{error}")
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap_or_else(|error| panic!("{error}"))
}
