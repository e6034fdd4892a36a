//! `hullo relay :9000 'exec:tr a-z A-Z'`, `hullo connect exec:cat`: a program, whose stdin and stdout are the conversation.
//!
//! Who connects starts it; as an address to listen on it is the one client, once. The command is split into words as a shell
//! splits them, quotes included; there is no shell, so that `$HOME`, `*` and `|` stay what they are (`exec:sh -c '…'` has
//! one). What follows a `?` or `#` are the address's options; in the command they are written `%3F` and `%23`, and a `%`
//! before two hexadecimal digits is `%25`.
//!
//! The program finds the client that it runs for in its environment, as under `hullo serve exec`. It runs in a process group
//! of its own, which is killed when the conversation ends.

use std::{ffi::OsString, sync::Arc};

use super::{Listener, Spec, Transport};
use crate::{
    address::Address,
    error::{Error, Result},
    io::{
        guard::Guard,
        program::{Program, Talk},
    },
    link::Link,
    peer::{Endpoint, Peer},
    scope::{BoxFuture, Scope},
    service::Service,
};

pub(super) const SCHEMES: &[Spec] = &[Spec {
    scheme: "exec",
    about: "the stdin and stdout of a program that is started for it",
    example: "'exec:tr a-z A-Z'",
    transport: &Exec,
}];

struct Exec;

impl Transport for Exec {
    fn bind(&self, at: Address, _: Scope) -> BoxFuture<'static, Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let program = program(&at)?;
            Ok(Box::new(Once { at, program }) as Box<dyn Listener>)
        })
    }

    fn connect(&self, to: Address, scope: Scope) -> BoxFuture<'static, Result<Link>> {
        Box::pin(async move { link(program(&to)?, &to, scope) })
    }
}

fn program(address: &Address) -> Result<Program> {
    address.without("host", !address.host.is_empty() || address.port.is_some())?;
    let words = shlex::split(&address.path)
        .ok_or_else(|| Error::usage(format!("{} has a quote without its end", address.bare())))?;
    let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
    let none = || Error::usage(format!("{address} names no program")).hint("hullo connect 'exec:tr a-z A-Z'");
    let program = Program::of(&words).ok_or_else(none)?;
    program.look_up(None)?;
    Ok(program)
}

fn link(program: Program, address: &Address, scope: Scope) -> Result<Link> {
    let peer = Peer::new("exec", Endpoint::Name(address.path.as_str().into()), Endpoint::Unnamed);
    let talk = Talk::start(program, scope.client(), &scope)?;
    Ok(Link::over(Guard::new(talk, &peer, &scope), peer, scope))
}

struct Once {
    at: Address,
    program: Program,
}

impl Listener for Once {
    fn address(&self) -> Address {
        self.at.clone()
    }

    /// Serves its one conversation, and is done.
    fn serve(self: Box<Self>, service: Arc<dyn Service>, scope: Scope) -> BoxFuture<'static, Result<()>> {
        match link(self.program, &self.at, scope) {
            Ok(link) => service.serve(link),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}
