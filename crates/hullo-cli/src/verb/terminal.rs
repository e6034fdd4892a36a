//! The terminal's side of `hullo connect`: line editing and history below, what comes above.

use std::{
    io::{Read, stdin},
    path::PathBuf,
    thread,
};

use etcetera::BaseStrategy;
use hullo::{Error, Link, Message, Result, Wire, framing};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::{Config, DefaultEditor, ExternalPrinter, error::ReadlineError};
use serde_json::json;
use tokio::{sync::mpsc, time::timeout};

use crate::{
    args::Connect,
    report::{Voice, shown},
    view::{hex, json as json_view, paint},
};

/// What the user did.
enum Typed {
    Line(Vec<u8>),
    End,
    Interrupt,
}

/// Talks until the other end has ended, or until Ctrl-C.
pub(super) async fn talk(link: Link, args: &Connect, interactive: bool, voice: Voice) -> Result<()> {
    let peer = link.peer.to_string();
    let (typed, mut input) = mpsc::channel(16);
    let mut screen = Screen { hex: args.hex, raw: args.raw, sent: 0, received: 0, printer: None };
    let _restored = Restored::now();
    if interactive {
        voice.say(
            "connected",
            &format!("connected to {peer} (Ctrl-D ends our side, Ctrl-C all)"),
            json!({ "peer": peer }),
        );
        // A text framing ends lines by itself; bytes to be seen, and messages, are as they are typed.
        let stream = matches!(link.wire, Wire::Stream(_));
        let end = match (stream && !args.hex, args.crlf) {
            (true, true) => "\r",
            (false, true) => "\r\n",
            (false, false) if stream => "\n",
            (_, false) => "",
        };
        match edit(typed.clone(), end) {
            Ok(printer) => screen.printer = Some(printer),
            // A terminal that cannot do it (TERM=dumb) still has lines.
            Err(_) => read(typed),
        }
    } else {
        read(typed);
    }
    // Where bytes are to be seen, they must be seen as they are.
    let mut session = link.session(if args.hex { &framing::raw::SPEC } else { &framing::text::SPEC });
    let endless = session.endless();
    let mut open = true;
    loop {
        tokio::select! {
            typed = input.recv(), if open => match typed {
                Some(Typed::Line(line)) => {
                    if args.hex {
                        screen.sent(&line);
                    }
                    session.send(Message { bytes: line.into(), text: true }).await?;
                    session.flush().await?;
                }
                Some(Typed::Interrupt) => return Ok(()),
                Some(Typed::End) | None => {
                    open = false;
                    screen.say(voice, interactive, "our side has ended; waiting for the other (Ctrl-C ends all)")?;
                    if !endless {
                        session.finish().await?;
                    }
                }
            },
            message = session.recv(), if open || !endless => match message? {
                Some(message) => screen.received(&message)?,
                None => {
                    screen.say(voice, interactive && open, "the other end has closed")?;
                    if interactive && open {
                        // The line that was being typed stays; what comes after us begins on the next one.
                        super::print(b"\n")?;
                    }
                    return session.close().await;
                }
            },
            // A wire without an end: what still comes within a moment belongs to what was asked.
            else => {
                while let Ok(message) = timeout(args.linger, session.recv()).await {
                    match message? {
                        Some(message) => screen.received(&message)?,
                        None => break,
                    }
                }
                return session.close().await;
            }
        }
    }
}

/// Where things are shown.
struct Screen {
    hex: bool,
    raw: bool,
    sent: usize,
    received: usize,
    printer: Option<Box<dyn ExternalPrinter + Send>>,
}

impl Screen {
    /// Says what has happened, above the line that is being typed.
    fn say(&mut self, voice: Voice, wanted: bool, sentence: &str) -> Result<()> {
        match &self.printer {
            _ if !wanted => Ok(()),
            Some(_) if !voice.json => self.print(paint::on_stdout().quiet(sentence) + "\n"),
            _ => {
                voice.say("note", sentence, json!({ "message": sentence }));
                Ok(())
            }
        }
    }

    fn sent(&mut self, bytes: &[u8]) {
        let text = hex::dump('>', self.sent, bytes);
        self.sent += bytes.len();
        // It is about to be sent whether or not it can be shown.
        let _ = self.print(text);
    }

    fn received(&mut self, message: &Message) -> Result<()> {
        let text = if self.hex {
            hex::dump('<', self.received, &message.bytes)
        } else {
            let text = message.to_text();
            let text = match json_view::pretty(&text, paint::on_stdout()) {
                Some(pretty) => pretty,
                None if self.raw => text.into_owned(),
                None => shown(&text),
            };
            text + "\n"
        };
        self.received += message.bytes.len();
        self.print(text)
    }

    fn print(&mut self, text: String) -> Result<()> {
        match &mut self.printer {
            Some(printer) => {
                // It fails where the editor has ended, by Ctrl-C: of that the news is on its way.
                let _ = printer.print(text);
                Ok(())
            }
            None => super::print(text.as_bytes()),
        }
    }
}

/// Starts the editor in a thread of its own: it waits for keys, which no runtime can do for it.
fn edit(typed: mpsc::Sender<Typed>, end: &'static str) -> Result<Box<dyn ExternalPrinter + Send>> {
    let wrong = |error| Error::new(hullo::Kind::Other, "cannot edit lines on this terminal").because(error);
    // A line that begins with a space is not remembered.
    let config = Config::builder().history_ignore_space(true).build();
    let mut editor = DefaultEditor::with_config(config).map_err(wrong)?;
    let printer = editor.create_external_printer().map_err(wrong)?;
    let history = history_file();
    if let Some(history) = &history {
        // There is none at the first time.
        let _ = editor.load_history(history);
    }
    thread::spawn(move || {
        loop {
            let next = match editor.readline("> ") {
                Ok(line) => {
                    let _ = editor.add_history_entry(&line);
                    if let Some(history) = &history {
                        let _ = editor.append_history(history);
                    }
                    let mut line = line.into_bytes();
                    line.extend_from_slice(end.as_bytes());
                    Typed::Line(line)
                }
                Err(ReadlineError::Eof) => Typed::End,
                Err(_) => Typed::Interrupt,
            };
            let last = !matches!(next, Typed::Line(_));
            if typed.blocking_send(next).is_err() || last {
                return;
            }
        }
    });
    Ok(Box::new(printer))
}

/// The history of what was typed, which only its user can read.
fn history_file() -> Option<PathBuf> {
    let base = etcetera::choose_base_strategy().ok()?;
    let folder = base.state_dir().unwrap_or_else(|| base.data_dir()).join("hullo");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}

/// Without a terminal: what comes on stdin, as it comes.
fn read(typed: mpsc::Sender<Typed>) {
    thread::spawn(move || {
        let mut buf = [0; 16 << 10];
        let mut stdin = stdin().lock();
        while let Ok(n @ 1..) = stdin.read(&mut buf) {
            if typed.blocking_send(Typed::Line(buf[..n].to_vec())).is_err() {
                return;
            }
        }
        let _ = typed.blocking_send(Typed::End);
    });
}

/// Puts the terminal back as it was: the editor's thread may be in the middle of a line when we end.
struct Restored(Option<Termios>);

impl Restored {
    fn now() -> Self {
        Self(tcgetattr(stdin()).ok())
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        if let Some(termios) = &self.0 {
            let _ = tcsetattr(stdin(), OptionalActions::Now, termios);
            // The prompt that nobody will answer.
            let _ = super::print(b"\r\x1b[K");
        }
    }
}
