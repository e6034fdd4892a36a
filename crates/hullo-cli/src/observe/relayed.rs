//! `hullo relay -v :9000 db:5432`: a line for each conversation that is relayed, when it begins and when it ends.

use hullo::traffic::{Flow, Seen, Tap};
use serde_json::json;

use crate::{
    report::{START, Voice, shown_in_line},
    verb::end_line,
    view::{paint, relay::heard::Closed, timeline::clock},
};

/// Tells of conversations. It wants none of their bytes.
pub(crate) struct Relayed(pub(crate) Voice);

impl Tap for Relayed {
    fn see(&self, flow: &Flow, what: Seen<'_>) {
        let ends = || (flow.client.to_string(), flow.server.to_string());
        match what {
            Seen::Opened => {
                let (client, server) = ends();
                let sentence = format!("{client} is led to {server}");
                let facts = json!({ "flow": flow.number, "relay": &*flow.relay, "client": client, "server": server });
                self.tell("relaying", &sentence, facts);
            }
            Seen::Closed(error) => {
                let ((client, server), closed) = (ends(), Closed::of(flow, error));
                let Closed { took, up, down, why } = closed;
                let s = took.as_secs_f64();
                let because = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                let sentence = format!("{client} → {server} ended after {s:.3} s: {up} bytes up, {down} down{because}");
                let facts = json!({
                    "flow": flow.number, "relay": &*flow.relay, "client": client, "server": server, "up": up,
                    "down": down, "seconds": s, "why": why,
                });
                self.tell("relayed", &sentence, facts);
            }
            Seen::Piece { .. } | Seen::End(_) => {}
        }
    }

    fn wants_bytes(&self) -> bool {
        false
    }
}

impl Relayed {
    fn tell(&self, event: &str, sentence: &str, facts: serde_json::Value) {
        if self.0.json {
            return self.0.say(event, "", facts);
        }
        end_line();
        tell!("{} {}", paint::on_stderr().quiet(&clock(START.elapsed())), shown_in_line(sentence));
    }
}
