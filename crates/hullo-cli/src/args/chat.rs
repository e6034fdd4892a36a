//! The words of `hullo chat`.

use clap::Args as ClapArgs;

#[derive(ClapArgs)]
#[command(after_help = "Over ws and wss (http and https mean the same) it knows the rooms. It comes back by itself
when the connection is lost, and loses and doubles nothing. Elsewhere it speaks plain lines, with
whoever speaks them too: text that comes without a newline is shown when it pauses, and ?frame=raw
sends ours without one.

On a terminal it takes the screen:
  Enter                 says it; Alt-Enter or Ctrl-J begins a new line
  Tab                   completes names, rooms and /commands
  Alt-1 to Alt-9        another room; so do Ctrl-N, Ctrl-P and a click
  PgUp, PgDn, wheel     earlier and later; Esc goes to the end
  Up, Down              what was typed before
  Ctrl-L, Ctrl-Z        draws anew; suspends
  Ctrl-C                leaves
The mouse is ours then: with Shift the terminal selects text as ever, and --no-mouse leaves it to
the terminal.

In a pipe, and with --lines, it is lines in and lines out. At the end of the input it waits until
all that was said is kept, and leaves; the exit status is not 0 where something was not.

The password comes from the variable HULLO_PASSWORD, or is asked for: what stands in a command line
is for everybody on this machine to see.

Examples:
  hullo chat ws://chat.example.org/               the lobby
  hullo chat https://chat.example.org --name ann --room dev --room ops
  hullo chat wss://chat.example.org/ --name ann --login
  hullo chat localhost:7007                       plain lines, as nc would
  echo 'built 1.4.2' | hullo chat ws://localhost:7107/ --name build --room dev
  hullo chat ws://localhost:7107/ --history 500 < /dev/null")]
pub(crate) struct Chat {
    /// The address: ws://, wss://, http:// or https:// for rooms; tcp://, tls://, unix: or udp:// for plain lines
    pub(crate) address: String,

    /// Our name
    #[arg(long, short, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// A room to be in, instead of the lobby; may be said several times
    #[arg(long, short, value_name = "ROOM")]
    pub(crate) room: Vec<String>,

    /// Log in to the account of that name: asks for its password
    #[arg(long, requires = "name")]
    pub(crate) login: bool,

    /// Lines in and lines out, even on a terminal
    #[arg(long)]
    pub(crate) lines: bool,

    /// How many of the last messages to show at first [default: the server's, 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(..=500))]
    pub(crate) history: Option<u16>,

    /// Leave the mouse to the terminal
    #[arg(long)]
    pub(crate) no_mouse: bool,
}
