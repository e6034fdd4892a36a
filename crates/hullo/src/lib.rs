//! **hullo**: both ends of any network conversation, as a library. The command of the same name is made of it.
//!
//! A *transport* turns an *address* into a [`Link`]: one conversation with a known peer, over a stream of bytes or over
//! whole packets. A [`Service`] holds conversations, on every transport there is. So a client and a server are one line
//! each, whatever lies between them:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> hullo::Result<()> {
//! let server = hullo::serve("tcp://127.0.0.1:0", hullo::service::echo::Echo).await?;
//! let answer = hullo::ask(&server.address().to_string(), "hullo").await?;
//! assert_eq!(answer.to_text(), "hullo");
//! # Ok(())
//! # }
//! ```
//!
//! # A service of your own
//!
//! Most services only answer each message: write a [`Reply`], and wrap it in [`Answer`]. It is then served over TCP, TLS,
//! unix sockets, UDP (in batches), WebSockets and HTTP, whatever the address says:
//!
//! ```
//! use hullo::{Answer, Message, Peer, Reply, Result};
//!
//! struct Shout;
//!
//! impl Reply for Shout {
//!     async fn reply(&self, message: Message, _: &Peer) -> Result<Option<Message>> {
//!         Ok(Some(Message::text(message.to_text().to_uppercase())))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! for address in ["tcp://127.0.0.1:0", "udp://127.0.0.1:0", "ws://127.0.0.1:0", "http://127.0.0.1:0"] {
//!     let server = hullo::serve(address, Answer(Shout)).await?;
//!     let answer = hullo::ask(&server.address().to_string(), "hullo").await?;
//!     assert_eq!(answer.to_text().trim_end(), "HULLO");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A service that talks first, or at length, implements [`Service`] and opens its link as a [`Session`] of messages or as
//! a stream of bytes:
//!
//! ```
//! use std::sync::Arc;
//! use hullo::{BoxFuture, Link, Message, Result, Service, framing};
//!
//! struct Count;
//!
//! impl Service for Count {
//!     fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, Result<()>> {
//!         Box::pin(async move {
//!             let mut session = link.session(&framing::lines::SPEC);
//!             let mut count = 0;
//!             while let Some(_) = session.recv().await? {
//!                 count += 1;
//!             }
//!             session.send(Message::text(format!("{count} lines"))).await?;
//!             session.close().await
//!         })
//!     }
//! }
//! ```
//!
//! # Files
//!
//! [`transfer`] sends files and folders, resumed and verified, as `hullo send` and `hullo receive` do. Either end may
//! listen: a [`transfer::Host`] is a service like any other, and [`transfer::connect`] is the other end.
//!
//! ```no_run
//! use std::{sync::Arc, time::Duration};
//! use hullo::{Limits, Scope, Server, transfer::{self, Code, Existing, Host, Lock, Source, Target, Work}};
//!
//! # #[tokio::main]
//! # async fn main() -> hullo::Result<()> {
//! let code = Code::random()?;
//! let sends = Work::Send(vec![Source::Path("photos".into())]);
//! let host = Host::new(sends, Lock::Code(code.clone()), Some(1), Arc::new(|_| {}));
//! let mut server = Server::new(Scope::new(Limits::server(), None));
//! server.listen(&"tcp://127.0.0.1:0".parse()?, host.clone()).await?;
//!
//! let inbox = Target { into: "inbox".into(), existing: Existing::Refuse, durable: true, outside_links: false };
//! let patience = (Duration::ZERO, Duration::from_secs(60));
//! let (work, lock) = (Work::Receive(inbox), Lock::Code(code));
//! let summary =
//!     transfer::connect(server.address(), &work, &lock, &Scope::default(), patience, Arc::new(|_| {})).await?;
//! assert_eq!(summary.failed, 0);
//! host.ended().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # A chat
//!
//! [`chat`] has the words of a chat, as `hullo serve chat` speaks them with programs:
//!
//! ```no_run
//! use hullo::{Message, chat::Event, framing};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> hullo::Result<()> {
//! let mut session = hullo::connect("ws://127.0.0.1:8060/").await?.session(&framing::json::SPEC);
//! session.send(Message::text(r#"{"do":"join","room":"lobby"}"#)).await?;
//! while let Some(message) = session.recv().await? {
//!     if let Ok(Event::Message(said)) = serde_json::from_slice(&message.bytes) {
//!         println!("{}: {}", said.at.from, said.text);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What holds everywhere
//!
//! The end of one direction is a half-close, and the other goes on until *its* end. A normal end is `Ok(None)`, never an
//! error. Every buffer is bounded and every wait has a deadline or a [`Scope`]; `recv`, `send` and `flush` are cancel-safe.
//! An [`Error`] is one sentence that names the address and what was being tried.

mod address;
pub mod bench;
mod bus;
pub mod capture;
pub mod chat;
mod dial;
mod error;
pub mod fault;
mod folder;
pub mod framing;
mod gate;
pub mod html;
mod io;
mod link;
mod message;
mod name;
pub mod options;
mod peer;
pub mod pipe;
pub mod proxy;
pub mod proxy_header;
pub mod record;
pub mod reliable;
pub mod replay;
pub mod request;
mod scope;
mod serve;
pub mod service;
mod session;
mod stamp;
pub mod toxiproxy;
pub mod traffic;
pub mod transfer;
pub mod transport;
mod watch;

pub use address::Address;
pub use dial::{ask, ask_in, connect, dial};
pub use error::{Error, Kind, Result};
pub use gate::Gate;
pub use io::datagrams::Datagrams;
pub use link::{BoxStream, Link, Packets, Stream, Wire};
pub use message::Message;
pub use name::Name;
pub use peer::{Endpoint, Peer, Tls};
pub use scope::{BoxFuture, Limits, Scope};
pub use serve::{Server, serve, suits};
pub use service::{Answer, Reply, Service};
pub use session::{Inbox, Outbox, Post, Session};
pub use watch::{Answered, Certificate, Event, Fault, Rate, Secured, Shown, Watch};

/// Bodies of HTTP requests and responses, for a service that answers them itself.
pub mod exchange {
    pub use crate::io::exchange::{Body, Interim, begun, collect, empty, full, text};
}

/// The heads and chunks of HTTP/1.1, as a pure and strict codec: what a server reads.
pub mod http1 {
    pub use crate::transport::http::{
        chunked::{Chunks, Piece},
        head::{Head, Length, Refusal, Search, read},
        prepared::Line,
    };
}

/// What a datagram of a measurement begins with, as a pure codec, and what its receiver counts.
pub mod stamps {
    pub use crate::stamp::{Kind, REPORT, Report, Runs, STAMP, Stamp, Train};
}

/// The frames of WebSockets, as a pure codec.
pub mod websocket {
    pub use crate::transport::ws::{
        deflate::{Deflate, Inflate, accept},
        frames::{Breach, Reader, Received, Role, write, write_close, write_pong},
    };
}
