//! `hullo relay :9000 db:5432 --record talk.pcapng`: the recording of what is relayed.

use std::{
    io::{IsTerminal, stdout},
    path::Path,
    sync::Arc,
    time::Duration,
};

use hullo::{Error, Kind, Result, record::Recorder, traffic::Tap};
use serde_json::json;
use tokio::task::spawn_blocking;

use crate::report::Voice;

/// How long the end of a recording may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// The recording that was asked for, if one was.
pub(super) struct Recording(Option<Arc<Recorder>>);

/// Whether stdout is where the recording goes.
pub(super) fn is_stdout(file: Option<&Path>) -> bool {
    file == Some(Path::new("-"))
}

impl Recording {
    /// A recording in that file, or on stdout, where that is not an end of the relay.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn new(file: Option<&Path>, on_stdio: bool, voice: Voice) -> Result<Self> {
        let Some(file) = file else { return Ok(Self(None)) };
        let told = move |error: &Error| voice.complain(error);
        if !is_stdout(Some(file)) {
            return Recorder::create(file, told).map(|recorder| Self(Some(recorder)));
        }
        if on_stdio || stdout().is_terminal() {
            let what = if on_stdio { "what is relayed" } else { "a terminal" };
            let about = format!("stdout is {what}: it cannot be the recording too");
            return Err(Error::usage(about).hint("name a file, or end the line with | tshark -r -"));
        }
        Recorder::over(stdout(), "stdout", told).map(|recorder| Self(Some(recorder)))
    }

    pub(super) fn taps(&self) -> Vec<Arc<dyn Tap>> {
        self.0.iter().map(|recorder| recorder.clone() as Arc<dyn Tap>).collect()
    }

    /// Ends it, and says what there is.
    ///
    /// # Errors
    /// Something is missing in it.
    pub(super) async fn finish(self, voice: Voice) -> Result<()> {
        let Some(recorder) = self.0 else { return Ok(()) };
        let finished = spawn_blocking(move || recorder.finish(FAREWELL)).await;
        let broken = |error| Error::new(Kind::Other, "the recording did not end").because(error);
        let recorded = finished.map_err(broken)??;
        let sentence = format!("recorded {} packets, {} bytes", recorded.packets, recorded.bytes);
        voice.say("recorded", &sentence, json!({ "packets": recorded.packets, "bytes": recorded.bytes }));
        Ok(())
    }
}
