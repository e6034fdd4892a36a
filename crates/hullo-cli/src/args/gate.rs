//! Who may come, as `serve` and `relay` are told it.

use clap::Args as ClapArgs;
use hullo::Result;

#[derive(ClapArgs)]
pub(crate) struct Gate {
    /// Let in only who is at these addresses, as in 10.0.0.0/8 or 2001:db8::7, or @FILE with one a line, which is read anew
    /// when it changes: who may not be inside any more must go. The most specific network decides, and of two that are the
    /// same the denied one. With accept-proxy=true it is the client's address that counts; unix sockets have none
    #[arg(long, value_name = "NETWORK")]
    pub(crate) allow: Vec<String>,

    /// Let nobody in who is at these
    #[arg(long, value_name = "NETWORK")]
    pub(crate) deny: Vec<String>,
}

impl Gate {
    /// The gate of that, of what a configuration allows and denies besides, and of how many may come in a second.
    pub(crate) fn made(&self, allow: &[String], deny: &[String], rate: Option<u32>) -> Result<Option<hullo::Gate>> {
        hullo::Gate::new(&[&self.allow[..], allow].concat(), &[&self.deny[..], deny].concat(), rate)
    }
}
