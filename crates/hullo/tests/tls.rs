#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! TLS as the library has it: sessions, and what a service knows of its client.

mod common;

use std::sync::{Arc, Mutex};

use common::{By, Folder, cores, in_time, service, serving_in, with};
use hullo::{Address, Event, Limits, Message, Scope, Server, Shown};

/// An echo on `tls://`, spread over two cores, and the pin of its key.
async fn echo(folder: &Folder) -> (Server, String) {
    let scope = Scope::on_cores(Limits::server(), None, cores(), Some(folder.path().into()));
    let mut server = Server::new(scope);
    let notes = server.listen(&"tls://127.0.0.1:0".parse().unwrap(), service("echo")).await.unwrap();
    let pin = notes[0].split("?pin=").nth(1).unwrap().to_owned();
    (server, pin)
}

/// What a watch has seen.
type Seen<T> = Arc<Mutex<Vec<T>>>;

/// A client's scope that remembers whether sessions were resumed, and what the server showed.
fn remembering() -> (Scope, Seen<bool>, Seen<Shown>) {
    let (resumed, shown) = (Seen::default(), Seen::default());
    let seen = (resumed.clone(), shown.clone());
    let watch = move |event: &Event<'_>| match event {
        Event::Secured(secured) => seen.0.lock().unwrap().push(secured.resumed),
        Event::Shown(shown) => seen.1.lock().unwrap().push((*shown).clone()),
        _ => {}
    };
    (common::watched(Limits::default(), watch), resumed, shown)
}

async fn ask(to: &Address, scope: &Scope) -> hullo::Result<Message> {
    in_time("an answer", hullo::ask_in(to, Some(Message::text("hullo")), scope, None)).await
}

#[tokio::test]
async fn a_scope_resumes_its_sessions_on_every_core() {
    let folder = Folder::new();
    let (server, pin) = echo(&folder).await;
    for version in ["1.2", "1.3"] {
        let (scope, resumed, _) = remembering();
        let to = with(&server.address().bare(), &format!("pin={pin}&tls={version}"));
        for _ in 0..6 {
            assert_eq!(ask(&to, &scope).await.unwrap().to_text(), "hullo");
        }
        assert_eq!(*resumed.lock().unwrap(), [false, true, true, true, true, true], "TLS {version}");
    }
}

/// A session says that somebody was trusted once: by whom else it is resumed, would trust them too.
#[tokio::test]
async fn who_trusts_otherwise_resumes_nothing() {
    let folder = Folder::new();
    let (server, pin) = echo(&folder).await;
    let (scope, resumed, shown) = remembering();
    let at = |options: &str| with(&server.address().bare(), options);
    ask(&at("insecure=true"), &scope).await.unwrap();
    ask(&at(&format!("pin={pin}")), &scope).await.unwrap();
    let fingerprint = shown.lock().unwrap()[0].chain[0].fingerprint.clone();
    ask(&at(&format!("pin={fingerprint}")), &scope).await.unwrap();
    ask(&at(&format!("pin={pin}&alpn=x")), &scope).await.unwrap();
    ask(&at(&format!("pin=sha256:{}", "00".repeat(32))), &scope).await.unwrap_err();
    ask(&at(""), &scope).await.unwrap_err();
    ask(&at(&format!("ca={}/identity.pem", folder.path().display())), &scope).await.unwrap();
    assert_eq!(*resumed.lock().unwrap(), [false; 5]);
    ask(&at(&format!("pin={pin}")), &scope).await.unwrap();
    assert_eq!(resumed.lock().unwrap().last(), Some(&true));
    // Who is refused has shown itself all the same.
    let shown = shown.lock().unwrap();
    assert!(shown.len() == 8 && shown.iter().all(|shown| shown.chain[0].fingerprint == fingerprint));
    assert_eq!(shown[5].faults[0].words, "it is self-signed: nobody else vouches for it");
    assert!(shown[1].faults.is_empty(), "{:?}", shown[1].faults);
}

#[tokio::test]
async fn a_service_knows_its_client_by_name() {
    let folder = Folder::new();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["ada.example".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(params, key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let cert =
        rcgen::CertificateParams::new(vec!["ada.example".to_owned()]).unwrap().signed_by(&key, &*authority).unwrap();
    let file = |name: &str, text: String| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let (ca, pem) = (file("ca.pem", authority.pem()), file("ada.pem", key.serialize_pem() + &cert.pem()));
    let named = By(|link: hullo::Link| async move {
        let name = link.peer.name().unwrap_or("nobody").to_owned();
        let mut session = link.session(&hullo::framing::lines::SPEC);
        session.send(name.into()).await?;
        session.close().await
    });
    let scope = Scope::on_cores(Limits::server(), None, Vec::new(), Some(folder.path().into()));
    let server = serving_in(scope, &format!("tls://127.0.0.1:0?client-ca={ca}"), Arc::new(named)).await;
    let to = with(&server.address().bare(), &format!("insecure=true&cert={pem}"));
    let said = in_time("its name", hullo::ask_in(&to, None, &Scope::default(), None)).await.unwrap();
    assert_eq!(said.to_text().trim_end(), "ada.example");
}
