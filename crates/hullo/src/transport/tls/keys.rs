//! The file that `SSLKEYLOGFILE` names: the secrets of connections, for Wireshark to decrypt them with (RFC 9850).

use std::{fmt::Write as _, fs::File, io::Write, sync::Arc};

use rustls::{KeyLog, NoKeyLog};

use crate::scope::Scope;

/// Where the secrets of that scope's connections go, which mostly is nowhere.
pub(super) fn log(scope: &Scope) -> Arc<dyn KeyLog> {
    match scope.key_log() {
        Some(file) => Arc::new(Keys(file)),
        None => Arc::new(NoKeyLog),
    }
}

#[derive(Debug)]
struct Keys(Arc<File>);

impl KeyLog for Keys {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut line = label.to_owned();
        for bytes in [client_random, secret] {
            line.push(' ');
            for byte in bytes {
                // Writing to a string does not fail.
                let _ = write!(line, "{byte:02x}");
            }
        }
        line.push('\n');
        // In one piece, so that the lines of several threads and programs do not mix. The conversation goes on though the
        // disk may be full.
        let _ = (&*self.0).write_all(line.as_bytes());
    }
}
