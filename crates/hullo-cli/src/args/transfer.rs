//! The words of `hullo send` and `hullo receive`.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::Args as ClapArgs;

use super::time;

#[derive(ClapArgs)]
#[command(
    after_help = "Without an address it listens, and says what to type at the other end. What is sent is encrypted
with a code phrase that the listening end shows; the connecting end asks for it, or takes it from
the variable HULLO_CODE.

A transfer that broke off is gone on with by typing the same again, at either end.

Examples:
  hullo send photos                              at the other end: hullo receive
  hullo send photos notes.txt tcp://host:7400    where hullo receive --listen waits
  hullo send photos --listen wss://0.0.0.0:7400 --times any
  tar c . | hullo send - --name all.tar host:7400
  hullo send disk.img udp://host:7400            a line that loses packets
  hullo send photos --listen unix:/tmp/s --plain on a wire that is trusted"
)]
pub(crate) struct Send {
    /// Files and folders; - is stdin. The last word may be the ADDRESS of an end that listens
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<OsString>,

    /// The name that stdin has at the other end
    #[arg(long, value_name = "NAME", default_value = "stdin")]
    pub(crate) name: OsString,

    #[command(flatten)]
    pub(crate) meeting: Meeting,
}

#[derive(ClapArgs)]
#[command(
    after_help = "Without an address it looks for who sends in this network. What is sent is encrypted with a code
phrase that the listening end shows; the connecting end asks for it, or takes it from the variable
HULLO_CODE.

A file gets its name when it is whole and its hash (BLAKE3) is right. What was interrupted is gone
on with by typing the same again. Files that are there already with the same content are left alone,
and others of the same name are never overwritten unless told.

Examples:
  hullo receive                                  at the other end: hullo send photos
  hullo receive host:7400 --into inbox
  hullo receive --listen                         at the other end: hullo send photos host:7400
  hullo receive --listen tls://0.0.0.0:7400 --times any --into inbox
  HULLO_CODE=42-ocean-lamp hullo receive host:7400 --json"
)]
pub(crate) struct Receive {
    /// The address of an end that listens
    pub(crate) address: Option<String>,

    /// The folder for what comes; it is made where it is not there
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) into: PathBuf,

    /// Files take the place of others of the same name
    #[arg(long, group = "existing")]
    pub(crate) overwrite: bool,

    /// Files get another name where theirs is taken, as in photo (2).jpg
    #[arg(long, group = "existing")]
    pub(crate) keep_both: bool,

    /// Files are left out where their name is taken
    #[arg(long, group = "existing")]
    pub(crate) skip: bool,

    /// Make links that lead out of the folder too
    #[arg(long)]
    pub(crate) outside_links: bool,

    /// Do not wait until each file is on the disk: faster, and a power cut may cost what came last
    #[arg(long)]
    pub(crate) no_fsync: bool,

    #[command(flatten)]
    pub(crate) meeting: Meeting,
}

/// How the two ends find each other.
#[derive(ClapArgs)]
pub(crate) struct Meeting {
    /// Wait for the other end at this address [default: tcp://0.0.0.0:7400, with --plain tcp://127.0.0.1:7400]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "")]
    pub(crate) listen: Option<String>,

    /// How many others may come, or any [default: 1]
    #[arg(long, value_name = "N", value_parser = times)]
    pub(crate) times: Option<Times>,

    /// No code and no encryption of ours: the wire is trusted, or its own (tls, wss) is enough
    #[arg(long)]
    pub(crate) plain: bool,

    /// How long to try to reach the other end, at first and after a break [default: once, then 1m]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) wait: Option<Duration>,
}

/// A number of times; nothing is any.
#[derive(Clone, Copy)]
pub(crate) struct Times(pub(crate) Option<usize>);

fn times(text: &str) -> Result<Times, String> {
    match text.parse() {
        Ok(times @ 1..) => Ok(Times(Some(times))),
        _ if text == "any" => Ok(Times(None)),
        _ => Err("it is a number from 1 on, or any".to_owned()),
    }
}
