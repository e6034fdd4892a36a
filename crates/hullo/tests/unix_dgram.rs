#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! Unix datagrams: senders without a name, and senders that never read.

mod common;

use std::{os::unix::net::UnixDatagram, path::Path, sync::Arc};

use common::{Folder, in_time, service, serving, still_serves};
use hullo::{Answer, Message, Peer, Reply, Result, Server, Service};
use tokio::sync::mpsc;

async fn here(folder: &Folder, service: Arc<dyn Service>) -> Server {
    serving(&folder.address("unix-dgram:{dir}/here").to_string(), service).await
}

/// A client whose name is `name` in the folder, or that has none.
fn client(folder: &Folder, name: Option<&str>) -> UnixDatagram {
    let socket = match name {
        Some(name) => UnixDatagram::bind(folder.path().join(name)).unwrap(),
        None => UnixDatagram::unbound().unwrap(),
    };
    socket.connect(folder.path().join("here")).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// The same for who waits for answers.
fn listening(client: UnixDatagram) -> tokio::net::UnixDatagram {
    tokio::net::UnixDatagram::from_std(client).unwrap()
}

/// Tells what it hears from whom, and gives it back.
struct Heard(mpsc::UnboundedSender<(String, String)>);

impl Reply for Heard {
    async fn reply(&self, message: Message, peer: &Peer) -> Result<Option<Message>> {
        let _ = self.0.send((peer.to_string(), message.to_text().into_owned()));
        Ok(Some(message))
    }
}

#[tokio::test]
async fn who_has_no_name_is_heard_and_who_has_one_is_answered() {
    let folder = Folder::new();
    let (tell, mut heard) = mpsc::unbounded_channel();
    let _server = here(&folder, Arc::new(Answer(Heard(tell)))).await;
    let (named, nameless) = (client(&folder, Some("me")), client(&folder, None));
    // All of them wait when the server looks, so that they may come in one batch.
    for number in 0..4 {
        nameless.send(format!("nameless {number}").as_bytes()).unwrap();
        named.send(format!("named {number}").as_bytes()).unwrap();
    }
    let named = listening(named);
    let me = format!("unix-dgram:{}", folder.path().join("me").display());
    for number in 0..4 {
        let (nobody, theirs) = in_time("a nameless one", heard.recv()).await.unwrap();
        assert_eq!((nobody.as_str(), theirs), ("unix-dgram:", format!("nameless {number}")));
        let (somebody, theirs) = in_time("a named one", heard.recv()).await.unwrap();
        assert_eq!((somebody, theirs), (me.clone(), format!("named {number}")));
        let mut buf = [0; 64];
        let len = in_time("an answer", named.recv(&mut buf)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&buf[..len]), format!("named {number}"));
    }
}

#[tokio::test]
async fn an_empty_datagram_is_a_datagram() {
    for name in ["echo", "exec"] {
        let folder = Folder::new();
        let _server = here(&folder, service(name)).await;
        let me = client(&folder, Some("me"));
        me.send(b"").unwrap();
        me.send(b"hullo").unwrap();
        let me = listening(me);
        let mut buf = [0; 64];
        if name == "echo" {
            assert_eq!(in_time("nothing", me.recv(&mut buf)).await.unwrap(), 0);
        }
        assert_eq!(in_time("something", me.recv(&mut buf)).await.unwrap(), 5, "{name}");
    }
}

/// The queue of a unix socket is short, and the kernel makes whoever sends to a full one wait. One who never reads must
/// not make the server wait for ever, and everybody else with it.
///
/// One who is connected to the server has no such queue: there the answers fill the server's own buffer, some 200 KiB of
/// them, and the kernel offers no way round that.
#[tokio::test]
async fn who_never_reads_does_not_hold_up_the_others() {
    for (name, question, answer) in [("echo", "hullo", "hullo"), ("convert", "0", "32 °F"), ("exec", "hullo", "hullo")]
    {
        let folder = Folder::new();
        let server = here(&folder, service(name)).await;
        let deaf = UnixDatagram::bind(folder.path().join("deaf")).unwrap();
        deaf.set_nonblocking(true).unwrap();
        flood(&deaf, &folder.path().join("here"), question).await;
        still_serves(&server.address().bare(), question, answer).await;
    }
}

/// Asks until the server takes no more, or until more is unread than any buffer of the kernel holds.
async fn flood(deaf: &UnixDatagram, here: &Path, question: &str) {
    let (mut sent, mut refused) = (0, 0);
    while sent < 2000 && refused < 2000 {
        match deaf.send_to(question.as_bytes(), here) {
            Ok(_) => (sent, refused) = (sent + 1, 0),
            // The server's own queue is short too: it is given its turn to read.
            Err(_) => {
                refused += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    assert!(sent > 10, "{sent} questions fill nothing");
}

/// Each takes a place in the server's own buffer, until that has none.
#[tokio::test]
async fn measurers_that_never_read_keep_nobody_from_being_heard() {
    let folder = Folder::new();
    let _server = here(&folder, service("discard")).await;
    let stamp = |kind: u8| [&[0x9d, b'h', b'b', kind][..], &[0; 84]].concat();
    let mut mute = Vec::new();
    for number in 0..60 {
        let client = listening(client(&folder, Some(&format!("mute-{number}"))));
        in_time("a datagram", client.send(&stamp(2))).await.unwrap();
        for _ in 0..12 {
            in_time("a question", client.send(&stamp(3))).await.unwrap();
        }
        mute.push(client);
    }
    let talker = listening(client(&folder, Some("talker")));
    for _ in 0..2000 {
        in_time("a datagram", talker.send(&stamp(2))).await.unwrap();
    }
    drop(mute);
    in_time("a question", talker.send(&stamp(3))).await.unwrap();
    assert_eq!(in_time("an answer", talker.recv(&mut [0; 100])).await.unwrap(), 88);
}
